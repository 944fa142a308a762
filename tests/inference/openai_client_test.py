"""The openai Python package talks to masbak-worker serve: whole, streamed, refused."""
import tempfile
import urllib.error
import urllib.request

import openai

import masbak_oracle

QUESTION = [{"role": "user", "content": "What is a heat exchanger used for?"}]


def served():
    key = tempfile.NamedTemporaryFile("w", suffix=".key")
    key.write("secret\n")
    key.flush()
    server = masbak_oracle.Served(masbak_oracle.adopted(), "--model-name", "demo", "--api-key-file", key.name)
    server.key = key
    return server


def client(server, key="secret"):
    return openai.OpenAI(base_url=f"http://{server.address}/v1", api_key=key, max_retries=0)


def test_everything():
    with served() as server:
        api = client(server)
        assert [model.id for model in api.models.list()] == ["demo"]

        whole = api.chat.completions.create(model="demo", messages=QUESTION, max_tokens=24, temperature=0)
        text = whole.choices[0].message.content
        assert "heat" in text.lower(), text
        assert whole.usage.completion_tokens == 24 and whole.choices[0].finish_reason == "length"

        stream = api.chat.completions.create(model="demo", messages=QUESTION, max_tokens=24, temperature=0, stream=True,
                                             stream_options={"include_usage": True})
        chunks = list(stream)
        streamed = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
        assert streamed == text, (streamed, text)
        assert chunks[-1].usage.completion_tokens == 24

        plain = api.completions.create(model="demo", prompt="The capital of France is", max_tokens=8, temperature=0)
        assert "Paris" in plain.choices[0].text, plain.choices[0].text

        cut = api.chat.completions.create(model="demo", messages=QUESTION, max_tokens=24, temperature=0, stop=[" heat"])
        assert " heat" not in cut.choices[0].message.content and cut.choices[0].finish_reason == "stop"

        for fault, call in [
            (openai.NotFoundError, lambda: api.chat.completions.create(model="other", messages=QUESTION)),
            (openai.BadRequestError, lambda: api.chat.completions.create(model="demo", messages=[])),
            (openai.BadRequestError, lambda: api.chat.completions.create(model="demo", messages=QUESTION, n=2)),
            (openai.AuthenticationError, lambda: client(server, "wrong").models.list()),
        ]:
            try:
                call()
            except fault:
                continue
            raise AssertionError(f"expected {fault.__name__}")

        with urllib.request.urlopen(f"http://{server.address}/health") as answer:
            assert answer.status == 200
        try:
            urllib.request.urlopen(f"http://{server.address}/metrics")
            raise AssertionError("/metrics answered without the key")
        except urllib.error.HTTPError as fault:
            assert fault.code == 401
        request = urllib.request.Request(f"http://{server.address}/metrics", headers={"Authorization": "Bearer secret"})
        metrics = urllib.request.urlopen(request).read().decode()
        assert 'masbak:request_success_total{' in metrics and "masbak:time_to_first_token_seconds_bucket" in metrics


masbak_oracle.main(globals())
