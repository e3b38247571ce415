"""The messages of TensorFlow Serving that the client, the warm-up records and the server's configuration are made of,
without TensorFlow.

The package `tensorflow-serving-api` has the whole API, but importing it imports TensorFlow: seconds, and hundreds of
megabytes, in a web server that only wants to ask. The fields used here are declared by their numbers, so that the bytes
are the same; unknown fields of a newer server are passed over.

Source: tensorflow_serving/apis and tensorflow/core/framework, the .proto files.
"""

from functools import cache
from types import SimpleNamespace

# Message -> "number name type" of its fields; `*` marks repeated ones, `<T>` a map from names. Enumerations are int32,
# which is what they are on the wire.
_FIELDS = {
    "Int64Value": "1 value int64",
    "ModelSpec": "1 name string, 2 version Int64Value, 3 signature_name string, 4 version_label string",
    "Dim": "1 size int64, 2 name string",
    "TensorShapeProto": "2 dim Dim*, 3 unknown_rank bool",
    "TensorProto": (
        "1 dtype int32, 2 tensor_shape TensorShapeProto, 4 tensor_content bytes, 5 float_val float*, "
        "6 double_val double*, 7 int_val int32*, 8 string_val bytes*, 9 scomplex_val float*, 10 int64_val int64*, "
        "11 bool_val bool*, 12 dcomplex_val double*, 13 half_val int32*, 16 uint32_val uint32*, 17 uint64_val uint64*"
    ),
    "PredictRequest": "1 model_spec ModelSpec, 2 inputs <TensorProto>, 3 output_filter string*",
    "PredictResponse": "1 outputs <TensorProto>, 2 model_spec ModelSpec",
    "TensorInfo": "1 name string, 2 dtype int32, 3 tensor_shape TensorShapeProto",
    "SignatureDef": "1 inputs <TensorInfo>, 2 outputs <TensorInfo>, 3 method_name string, 4 defaults <TensorProto>",
    "SignatureDefMap": "1 signature_def <SignatureDef>",
    "Any": "1 type_url string, 2 value bytes",
    "GetModelMetadataRequest": "1 model_spec ModelSpec, 2 metadata_field string*",
    "GetModelMetadataResponse": "1 model_spec ModelSpec, 2 metadata <Any>",
    "StatusProto": "1 error_code int32, 2 error_message string",
    "ModelVersionStatus": "1 version int64, 2 state int32, 3 status StatusProto",
    "GetModelStatusRequest": "1 model_spec ModelSpec",
    "GetModelStatusResponse": "1 model_version_status ModelVersionStatus*",
    "PredictLog": "1 request PredictRequest",
    "PredictionLog": "6 predict_log PredictLog",
    "Latest": "1 num_versions uint32",
    "All": "",
    "Specific": "1 versions int64*",
    "ServableVersionPolicy": "100 latest Latest, 101 all All, 102 specific Specific",
    "ModelConfig": "1 name string, 7 model_version_policy ServableVersionPolicy, 8 version_labels <int64>",
    "ModelConfigList": "1 config ModelConfig*",
    "ModelServerConfig": "1 model_config_list ModelConfigList",
}
# Fields of which a message has one at most: setting one takes the other away.
_ONE_OF = {
    "ModelSpec": ("version_choice", ("version", "version_label")),
    "ServableVersionPolicy": ("policy_choice", ("latest", "all", "specific")),
}
_PACKAGE = "mmrec_tf.serving"


@cache
def messages() -> SimpleNamespace:
    """The message classes, as attributes under TensorFlow Serving's names."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    file = descriptor_pb2.FileDescriptorProto(name="mmrec_tf/serving_api.proto", package=_PACKAGE, syntax="proto3")
    for name, fields in _FIELDS.items():
        message = file.message_type.add(name=name)
        choice, chosen = _ONE_OF.get(name, ("", ()))
        if choice:
            message.oneof_decl.add(name=choice)
        for field in filter(None, fields.split(", ")):
            number, field_name, kind = field.split()
            added = message.field.add(name=field_name, number=int(number))
            added.label = added.LABEL_REPEATED if kind[-1] in "*>" else added.LABEL_OPTIONAL
            if field_name in chosen:
                added.oneof_index = 0
            if kind[0] == "<":
                kind = _map_entry(message, field_name, kind[1:-1])
            _set_type(added, kind.rstrip("*"))
    # A pool of its own: TensorFlow's messages of the same process stay as they are.
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    found = {name: pool.FindMessageTypeByName(f"{_PACKAGE}.{name}") for name in _FIELDS}
    return SimpleNamespace(**{name: message_factory.GetMessageClass(found[name]) for name in _FIELDS})


def _map_entry(message, field: str, kind: str) -> str:
    # Protocol buffers keep a map as a list of such entries, named by this rule.
    name = "".join(word.capitalize() for word in field.split("_")) + "Entry"
    entry = message.nested_type.add(name=name)
    entry.options.map_entry = True
    for number, (key, of) in enumerate((("key", "string"), ("value", kind)), start=1):
        added = entry.field.add(name=key, number=number)
        added.label = added.LABEL_OPTIONAL
        _set_type(added, of)
    return f"{message.name}.{name}"


def _set_type(field, kind: str) -> None:
    if kind[0].isupper():
        field.type, field.type_name = field.TYPE_MESSAGE, f".{_PACKAGE}.{kind}"
    else:
        field.type = getattr(field, f"TYPE_{kind.upper()}")
