"""masbak-worker tokenize beside Hugging Face's tokenizers: Unigram, WordPiece, WordLevel and the rest."""

import json
import sys

from schemes_test import compare_all  # noqa: E402
import texts  # noqa: E402
from tokenizers import (AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers,  # noqa: E402
                        processors, trainers)
from charsmap import nmt_nfkc  # noqa: E402

BYTES = [f"<0x{byte:02X}>" for byte in range(256)]


def unigram(vocab_size=900, byte_fallback=False, normalizer=None, pre_tokenizer=None, decoder=None, specials=()):
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizer or normalizers.Sequence(
        [normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")])
    tokenizer.pre_tokenizer = pre_tokenizer or pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(vocab_size=vocab_size, show_progress=False, unk_token="<unk>",
                                      special_tokens=["<unk>", "<s>", "</s>", *specials])
    tokenizer.train_from_iterator(texts.SENTENCES * 2, trainer)
    tokenizer.decoder = decoder or decoders.Metaspace()
    if byte_fallback:
        data = json.loads(tokenizer.to_str())
        data["model"]["byte_fallback"] = True
        data["model"]["vocab"] = [[token, score] for token, score in data["model"]["vocab"] if len(token) < 8]
        data["model"]["vocab"] += [[token, 0.0] for token in BYTES]
        steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
        data["decoder"] = json.loads(with_decoder(decoders.Sequence(steps)).to_str())["decoder"]
        tokenizer = Tokenizer.from_str(json.dumps(data))
    return tokenizer


def with_decoder(decoder):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.decoder = decoder
    return tokenizer


def xlm_roberta():
    tokenizer = unigram(normalizer=normalizers.Precompiled(nmt_nfkc()), pre_tokenizer=pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()]))
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 1))
    tokenizer.add_special_tokens([AddedToken("<mask>", lstrip=True)])
    return tokenizer


def t5():
    tokenizer = unigram(normalizer=normalizers.Sequence([
        normalizers.Precompiled(nmt_nfkc()), normalizers.Strip(left=False), normalizers.Replace(Regex(" {2,}"), "▁")]))
    tokenizer.post_processor = processors.TemplateProcessing("$A </s>", special_tokens=[("</s>", 2)])
    return tokenizer


def gemma():
    """No pre-tokenizer: a whole text is one word."""
    tokenizer = unigram(byte_fallback=True)
    data = json.loads(tokenizer.to_str())
    data["pre_tokenizer"] = None
    data["normalizer"] = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
    return Tokenizer.from_str(json.dumps(data))


def albert():
    return unigram(normalizer=normalizers.Sequence([
        normalizers.Replace("``", '"'), normalizers.Replace("''", '"'), normalizers.NFKD(), normalizers.StripAccents(),
        normalizers.Lowercase(), normalizers.Nmt()]), pre_tokenizer=pre_tokenizers.Metaspace(prepend_scheme="first"))


def bert(lowercase=True, **options):
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase, **options)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(vocab_size=1200, show_progress=False, limit_alphabet=300,
                                        special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"])
    tokenizer.train_from_iterator(texts.SENTENCES * 3, trainer)
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tokenizer.decoder = decoders.WordPiece()
    return tokenizer


def word_level(pre_tokenizer, decoder=None, normalizer=None):
    tokenizer = Tokenizer(models.WordLevel(unk_token="<unk>"))
    if normalizer:
        tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizer
    trainer = trainers.WordLevelTrainer(vocab_size=800, show_progress=False, special_tokens=["<unk>", "<pad>", "|"])
    tokenizer.train_from_iterator(texts.SENTENCES * 3, trainer)
    if decoder:
        tokenizer.decoder = decoder
    return tokenizer


def words_with_suffix():
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", end_of_word_suffix="</w>"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.BpeTrainer(vocab_size=1000, show_progress=False, special_tokens=["<unk>"], limit_alphabet=200,
                                  end_of_word_suffix="</w>")
    tokenizer.train_from_iterator(texts.SENTENCES * 3, trainer)
    tokenizer.decoder = decoders.BPEDecoder()
    return tokenizer


def byte_normalizer():
    """ByteLevel as a normalizer, with an added token that is normalised, too."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.ByteLevel()
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=900, show_progress=False,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator(texts.SENTENCES * 2, trainer)
    tokenizer.add_tokens([AddedToken("größe ß", normalized=True), AddedToken("7:45", normalized=True)])
    tokenizer.add_special_tokens([AddedToken("<|im_end|>", normalized=True)])
    return tokenizer


def byte_level_unigram():
    return unigram(normalizer=normalizers.NFC(), decoder=decoders.ByteLevel(),
                   pre_tokenizer=pre_tokenizers.ByteLevel(add_prefix_space=True))


def two_templates():
    tokenizer = word_level(pre_tokenizers.Whitespace())
    tokenizer.post_processor = processors.Sequence([
        processors.TemplateProcessing("$A $A <pad>", "$B <unk> $A", special_tokens=[("<pad>", 1), ("<unk>", 0)]),
        processors.RobertaProcessing(("<pad>", 1), ("<unk>", 0))])
    return tokenizer


SCHEMES = {
    "unigram": unigram, "unigram-bytes": lambda: unigram(byte_fallback=True), "xlm-roberta": xlm_roberta, "t5": t5,
    "gemma": gemma, "albert": albert, "bert": bert, "bert-cased": lambda: bert(lowercase=False),
    "bert-plain": lambda: bert(False, clean_text=False, handle_chinese_chars=False, strip_accents=True),
    "word-level": lambda: word_level(pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(),
                                                              pre_tokenizers.FixedLength(3)])),
    "delimiter": lambda: word_level(pre_tokenizers.CharDelimiterSplit("e")),
    "scripts": lambda: word_level(pre_tokenizers.Sequence([pre_tokenizers.UnicodeScripts(),
                                                           pre_tokenizers.WhitespaceSplit()])),
    "ctc": lambda: word_level(pre_tokenizers.Split("", "isolated"), decoders.CTC("<pad>", "|"), normalizers.Nmt()),
    "suffix": words_with_suffix, "byte-normalizer": byte_normalizer, "byte-level-unigram": byte_level_unigram,
    "two-templates": two_templates,
}

if __name__ == "__main__":
    sys.exit(compare_all(SCHEMES))
