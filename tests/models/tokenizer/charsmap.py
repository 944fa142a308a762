"""The character map that SentencePiece builds for its nmt_nfkc rules, from a model trained on the spot."""

import functools
import io
import os

os.environ["HF_HUB_OFFLINE"] = "1"
import sentencepiece  # noqa: E402
from sentencepiece import sentencepiece_model_pb2  # noqa: E402

import texts  # noqa: E402


def train(model_type, vocab_size=600, **options):
    """A serialized SentencePiece model."""
    out = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([text for text in texts.SENTENCES * 3 if text.strip()]), model_writer=out,
        model_type=model_type, vocab_size=vocab_size, hard_vocab_limit=False, minloglevel=2, num_threads=1, **options)
    return out.getvalue()


@functools.cache
def nmt_nfkc():
    proto = sentencepiece_model_pb2.ModelProto()
    proto.ParseFromString(train("unigram", character_coverage=0.98))
    return proto.normalizer_spec.precompiled_charsmap
