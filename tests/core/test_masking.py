"""Credentials in every form that people and programs write them are hidden; what is none stays."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqclf_core.masking import HIDDEN, mask, mask_all

SECRET = "S3CRETx9"
FORMS = [
    "https://ann:{}@host/path",
    "https://{}@host",
    "postgresql+psycopg://ann:{}@host:5432/db",
    "postgres://ann:{}@[::1]:5432/db",
    "redis://:{}@cache:6379/0",
    "mongodb+srv://ann:{}@cluster.example.org/?retryWrites=true",
    "amqp://ann:{}@host//vhost",
    "http://ann:{}@127.0.0.1:5000 did not answer",
    "https://ann:a@{}@host/path",
    "postgresql://ann:pa/{}@host/db",
    "postgresql://ann:it's {} yes@host/db",
    'postgresql://ann:"{}"@host/db',
    "postgresql://ann:p?{}#x@host/db",
    "postgresql://ann:1234/{}@host/db",
    "two: https://a:{}@b and https://c:{}@d",
    "https%3A%2F%2Fann%3A{}%40host%2Fpath",
    "sqlite:///x and ann:{}@host.example.org",
    "https://host/path?token={}&x=1",
    "https://host/path?x=1&password={}",
    "https://host/path?apikey={}",
    "https://host/path?api_key={}",
    "https://host/path?api-key={}",
    "https://host/path?key={}",
    "https://host/path;token={}?x=1",
    "https://host/blob?sv=2024&sig={}",
    "https://s3/b/o?X-Amz-Credential={}%2F20260101&X-Amz-Date=1",
    "https://s3/b/o?X-Amz-Signature={}",
    "https://s3/b/o?X-Amz-Security-Token={}",
    "https://storage/o?X-Goog-Signature={}",
    "https://host/?next=/a%3Fpassword%3D{}",
    "https://host/?access_token={}#part",
    "https://host/?client_secret={}",
    "host=db user=ann password={} dbname=x",
    "host=db password='{}' dbname=x",
    "Driver=x;Server=y;UID=ann;PWD={};",
    "DefaultEndpointsProtocol=https;AccountName=a;AccountKey={}==;EndpointSuffix=c",
    "Authorization: Bearer {}",
    "authorization: Basic {}",
    "got header Bearer {}, refused",
    "MLFLOW_TRACKING_PASSWORD={} make study",
    "AWS_SECRET_ACCESS_KEY={}",
    "aws_access_key_id = {}",
    '{{"password": "{}", "user": "ann"}}',
    "{{'api_key': '{}'}}",
    "password: {}",
    "refreshToken={}",
    "seqclf study --db-password {} --trials 3",
    "seqclf study --api-key={}",
]


@pytest.mark.parametrize("form", FORMS)
def test_a_credential_is_hidden_in_every_form(form):
    text = form.format(SECRET, SECRET)
    masked = mask(text)
    assert SECRET not in masked
    assert HIDDEN in masked
    assert mask(masked) == masked
    assert SECRET not in json.dumps(mask_all({"a": [text, {"b": text}], "c": text}))


def test_there_are_at_least_forty_forms():
    assert len(set(FORMS)) >= 40


@pytest.mark.parametrize(
    "text",
    [
        "sqlite:////home/ann/runs/mlflow.db",
        "http://127.0.0.1:5000/#/experiments/1/runs?workflowType=machine_learning",
        "http://127.0.0.1:5000 did not answer; ask ann@example.org",
        "key=imdb/0007 tokens_per_second=120000 train/loss=0.3",
        "the tokenizer: made anew; token ids below 30000",
        "python -m studies imdb --model.embed-dim 64 --data.source data/imdb",
        "see https://example.org/a?b=c&d=e#f, and mail ann@example.org",
        "git@github.com:ann/seqclf.git",
        "trial 0007: val/accuracy 0.8912, 3:05 left",
        "C:\\Users\\ann",
    ],
)
def test_what_is_no_credential_stays(text):
    assert mask(text) == text


def test_a_tree_keeps_its_numbers_and_hides_by_name():
    tree = {
        "tokens_per_second": 1.5,
        "key": "imdb/0007",
        "db_password": SECRET,
        "list": [1, None, True],
        "token": "",
    }
    assert mask_all(tree) == {**tree, "db_password": HIDDEN}


@given(text=st.text(), form=st.sampled_from(FORMS))
def test_whatever_stands_around_it(text, form):
    if SECRET not in text:
        assert SECRET not in mask(text + "\n" + form.format(SECRET, SECRET) + "\n" + text)


@given(text=st.text())
def test_text_without_signs_of_an_address_or_a_name_stays(text):
    if not set(text) & set(":=%@-") and "bearer" not in text.lower() and "authorization" not in text.lower():
        assert mask(text) == text
