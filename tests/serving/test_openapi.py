"""The server against its own OpenAPI document, with requests that nobody thought of."""

import pytest
from fastapi.testclient import TestClient

from mmrec_tf.serving.http_app import create_app
from mmrec_tf.serving.server_options import ServerOptions
from tests.served_models import save_examples, save_shelf

MODELS_CONFIG = 'model_config_list { config { name: "recommend" version_labels { key: "latest" value: 2 } } }'


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    folder = tmp_path_factory.mktemp("openapi")
    save_shelf(folder / "recommend" / "2")
    save_examples(folder / "examples" / "1")
    (folder / "models.config").write_text(MODELS_CONFIG)
    return create_app(folder, options=ServerOptions(poll_seconds=0), catalogue=folder / "items.parquet")


@pytest.fixture(scope="module")
def document(app):
    return TestClient(app).get("/openapi.json").json()


def test_paths_of_the_models_that_are_served(document):
    base = "/v1/models/recommend"
    for place in (base, f"{base}/versions/{{version}}", f"{base}/labels/{{label}}"):
        assert "get" in document["paths"][place] and "get" in document["paths"][f"{place}/metadata"]
        assert all("post" in document["paths"][f"{place}:{call}"] for call in ("predict", "classify", "regress"))
    (label,) = document["paths"][f"{base}/labels/{{label}}"]["get"]["parameters"]
    assert label["schema"] == {"type": "string", "enum": ["latest"]}
    assert {"/", "/healthz", "/readyz", "/recommend/{user}", "/media/{item}/{feature}"} <= set(document["paths"])


def test_inputs_of_a_signature(document):
    body = document["paths"]["/v1/models/recommend:predict"]["post"]["requestBody"]
    forms = body["content"]["application/json"]["schema"]["anyOf"]
    named = [form for form in forms if form["properties"]["signature_name"]["enum"] == ["recommend"]]
    columns, rows = (form["properties"] for form in named)
    integers = {"type": "integer", "minimum": -(2**31), "maximum": 2**31 - 1}
    assert columns["inputs"]["properties"]["k"] == {"type": "array", "items": integers, "minItems": 1}
    assert rows["instances"]["items"]["properties"]["k"] == integers
    assert rows["instances"]["items"]["properties"]["exclude_ids"]["type"] == "array"
    assert all(set(form["required"]) == {"signature_name", key} for form, key in zip(named, ("inputs", "instances")))


def test_keys_are_asked_for_where_there_are_some(tmp_path, document):
    save_shelf(tmp_path / "shelf" / "1")
    client = TestClient(create_app(tmp_path, options=ServerOptions(poll_seconds=0, api_keys=["k"])))
    guarded = client.get("/openapi.json", headers={"X-API-Key": "k"}).json()
    assert guarded["security"] == [{"key": []}, {"bearer": []}]
    assert guarded["paths"]["/healthz"]["get"]["security"] == []
    assert "security" not in document and "/recommend/{user}" not in guarded["paths"]


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["positive", "negative"])
def test_whatever_is_sent_the_server_answers_as_the_document_says(app, mode):
    schemathesis = pytest.importorskip("schemathesis")
    from hypothesis import HealthCheck, Phase, given, settings

    known = schemathesis.checks
    checks = [known.not_a_server_error, known.status_code_conformance, known.content_type_conformance]
    checks += [known.response_schema_conformance]
    tried = set()
    for found in schemathesis.openapi.from_asgi("/openapi.json", app).get_all_operations():
        operation = found.ok()
        if mode == "negative" and operation.method == "get" and operation.path != "/recommend/{user}":
            # Nothing can be wrong with a text in a path, or with a call that takes nothing.
            continue

        @given(case=operation.as_strategy(schemathesis.GenerationMode(mode)))
        @settings(
            max_examples=8,
            deadline=None,
            derandomize=True,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        def ask(case):
            case.validate_response(case.call(), checks=checks)
            tried.add((case.method, case.path))

        ask()
    assert ("POST", "/v1/models/recommend:predict") in tried and ("GET", "/recommend/{user}") in tried
