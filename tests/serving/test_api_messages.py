"""The messages are TensorFlow Serving's: what one writes, the other reads."""

import pytest
from google.protobuf import text_format
from tensorflow.core.framework import tensor_pb2, tensor_shape_pb2
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_pb2,
    predict_pb2,
    prediction_log_pb2,
    status_pb2,
)
from tensorflow_serving.config import file_system_storage_path_source_pb2, model_server_config_pb2

from mmrec_tf.serving.api_messages import messages
from tests.asked_models import is_repeated

Policy = file_system_storage_path_source_pb2.FileSystemStoragePathSourceConfig.ServableVersionPolicy
THEIRS = {
    "ModelSpec": model_pb2.ModelSpec,
    "TensorShapeProto": tensor_shape_pb2.TensorShapeProto,
    "TensorProto": tensor_pb2.TensorProto,
    "PredictRequest": predict_pb2.PredictRequest,
    "PredictResponse": predict_pb2.PredictResponse,
    "TensorInfo": meta_graph_pb2.TensorInfo,
    "SignatureDef": meta_graph_pb2.SignatureDef,
    "SignatureDefMap": get_model_metadata_pb2.SignatureDefMap,
    "GetModelMetadataRequest": get_model_metadata_pb2.GetModelMetadataRequest,
    "GetModelMetadataResponse": get_model_metadata_pb2.GetModelMetadataResponse,
    "StatusProto": status_pb2.StatusProto,
    "ModelVersionStatus": get_model_status_pb2.ModelVersionStatus,
    "GetModelStatusRequest": get_model_status_pb2.GetModelStatusRequest,
    "GetModelStatusResponse": get_model_status_pb2.GetModelStatusResponse,
    "PredictLog": prediction_log_pb2.PredictLog,
    "PredictionLog": prediction_log_pb2.PredictionLog,
    "Latest": Policy.Latest,
    "All": Policy.All,
    "Specific": Policy.Specific,
    "ServableVersionPolicy": Policy,
    "ModelConfig": model_server_config_pb2.ModelConfig,
    "ModelConfigList": model_server_config_pb2.ModelConfigList,
    "ModelServerConfig": model_server_config_pb2.ModelServerConfig,
}


@pytest.mark.parametrize("name", THEIRS)
def test_fields_have_the_same_numbers_and_kinds(name):
    theirs = THEIRS[name].DESCRIPTOR.fields_by_name
    for field in getattr(messages(), name).DESCRIPTOR.fields:
        other = theirs[field.name]
        assert field.number == other.number and is_repeated(field) == is_repeated(other), field.name
        # An enumeration is an int32 on the wire.
        assert field.type == (field.TYPE_INT32 if other.type == other.TYPE_ENUM else other.type), field.name


TEXTS = {
    "PredictRequest": """
        model_spec { name: "m" signature_name: "s" version { value: 3 } } output_filter: "a"
        inputs { key: "é" value { dtype: DT_INT64 tensor_shape { dim { size: 2 } } int64_val: [-1, 9] } }
        inputs { key: "x" value { dtype: DT_STRING tensor_shape { dim { size: 1 } } string_val: "\\377" } }""",
    "ModelSpec": 'name: "m" version_label: "latest"',
    "SignatureDefMap": """
        signature_def { key: "f" value { method_name: "p"
          inputs { key: "a" value { name: "a:0" dtype: DT_FLOAT tensor_shape { dim { size: -1 } } } }
          outputs { key: "b" value { dtype: DT_STRING tensor_shape { unknown_rank: true } } } } }""",
    "GetModelStatusResponse": """
        model_version_status { version: 7 state: AVAILABLE status { error_message: "x" error_code: NOT_FOUND } }""",
}


@pytest.mark.parametrize("name", TEXTS)
def test_bytes_are_the_same_both_ways(name):
    theirs = text_format.Parse(TEXTS[name], THEIRS[name]())
    content = theirs.SerializeToString(deterministic=True)
    ours = getattr(messages(), name).FromString(content)
    assert ours.SerializeToString(deterministic=True) == content
    # Nothing was merely passed over.
    ours.DiscardUnknownFields()
    assert ours.SerializeToString(deterministic=True) == content


def test_a_version_and_a_label_are_one_choice():
    spec = messages().ModelSpec(version_label="latest")
    spec.version.value = 1
    assert spec.version_label == "" and spec.WhichOneof("version_choice") == "version"
