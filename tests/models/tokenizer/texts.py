"""Texts that tokenizers must agree on: sentences of many scripts, emoji sequences, controls, spaces, random Unicode."""

import random

SENTENCES = [
    "The heat exchanger E-204 was isolated at 07:45; pressure fell to 3.2 bar(g).",
    "I'm sure they'll say we've DON'T'd it, she'd've said 'twas",
    "def f(x):\n    return {k: v**2 for k, v in x.items()}  # a comment\n\n\n\treturn",
    "تم عزل المبادل الحراري عند الساعة ٧:٤٥ صباحًا، وانخفض الضغط إلى ٣٫٢ بار.",
    "صَبُّ الفُولاذِ في المَسبَكِ يَحتاجُ إلى دِقّةٍ عالِيَة",
    "換熱器於上午七點四十五分停用，壓力降至三點二巴。",
    "熱交換器を停止した。圧力は3.2バールまで下がりました！",
    "열교환기가 오전 7시 45분에 격리되었습니다.",
    "Теплообменник отключён в 7:45; давление упало до 3,2 бар.",
    "Ο εναλλάκτης απομονώθηκε στις 7:45 π.μ.",
    "מחליף החום בודד בשעה 7:45, הלחץ ירד.",
    "ताप विनिमायक को सुबह ७:४५ बजे अलग किया गया।",
    "তাপ বিনিময়কারী সকাল ৭:৪৫ এ বিচ্ছিন্ন করা হয়েছিল।",
    "เครื่องแลกเปลี่ยนความร้อนถูกแยกเมื่อเวลา ๗:๔๕ น.",
    "வெப்பப் பரிமாற்றி காலை 7:45 மணிக்கு தனிமைப்படுத்தப்பட்டது.",
    "የሙቀት መለዋወጫው ጠዋት ላይ ተለይቷል።",
    "ջերմափոխանակիչը մեկուսացվել է ժամը 7:45-ին։",
    "Thiết bị trao đổi nhiệt đã được cô lập lúc 7 giờ 45 sáng.",
    "Der Wärmeübertrager wurde um 7:45 Uhr abgesperrt – Größe ß, ﬁ, ½, ², Ⅷ",
    "emoji 👩‍🏭🔧🏳️‍🌈👨‍👩‍👧‍👦🇸🇦🇩🇪 ☎️ ❤️‍🔥 👍🏽",
    "controls \x00\x01\x07\x1b[0m\x7f\x85\u200b\u200d\u2060\ufeff end",
    "spaces \u00a0\u2003\u2009\u3000\u202f \t \r\n \r \x0b\x0c  end   ",
    "combining e\u0301 a\u0308\u0323 \u0915\u094d\u0937 Z\u0351\u036b\u0343 \u1100\u1161\u11a8",
    "math ∑ᵢ xᵢ² ≤ √π·∞ ⇒ 𝔽₂ ⊂ ℝ, 𝒳 ≈ 1e-9",
    "<|im_start|>system\nYou are <|im_end|> here <|im_end |> <|endoftext|><|im_start|>",
    "1234567890 12 345,678.90 0x1F 1_000 ١٢٣ ४५६ ⅓ 一二三 Ⅻ",
    "", " ", "\n", "  \n\n  ", "a", "ى", "\U0001F600", "\u0640" * 30, "x" * 500, "ab" * 300, "  " * 100,
]


def _character(rng):
    kind = rng.randrange(8)
    if kind < 2:
        return chr(rng.randrange(0x20, 0x7F))
    if kind == 2:
        return rng.choice(" \n\t\r  '\u00a0")
    ranges = [(0x80, 0x250), (0x370, 0x530), (0x5D0, 0x5EA), (0x620, 0x6FF), (0x900, 0xDFF), (0xE00, 0xEFF),
              (0x1200, 0x139F), (0x2000, 0x2BFF), (0x3040, 0x30FF), (0x4E00, 0x9FFF), (0xAC00, 0xD7A3),
              (0x1D400, 0x1D7FF), (0x1F300, 0x1FAFF)]
    if kind < 7:
        low, high = rng.choice(ranges)
    else:
        low, high = 0, 0x1FFFF
    while True:
        point = rng.randrange(low, high + 1)
        if not 0xD800 <= point <= 0xDFFF:
            return chr(point)


def _any_character(rng):
    low, high = rng.choice([(0, 0x2FF), (0x300, 0x1FFF), (0x2000, 0xD7FF), (0xE000, 0xFFFF), (0x10000, 0x1FFFF),
                            (0x1F000, 0x1FBFF), (0x20000, 0x323FF), (0xE0000, 0xE01FF), (0x10000, 0x10FFFF)])
    return chr(rng.randrange(low, high + 1))


def random_text(rng):
    text = ""
    for _ in range(rng.randrange(1, 12)):
        kind = rng.randrange(5)
        if kind == 0:
            text += rng.choice(SENTENCES)
        elif kind == 1:
            sentence = rng.choice(SENTENCES)
            begin = rng.randrange(len(sentence) + 1)
            text += sentence[begin:begin + rng.randrange(1, 30)]
        elif kind == 2:  # whatever Unicode has, assigned or not
            text += "".join(_any_character(rng) for _ in range(rng.randrange(1, 10)))
        elif kind == 3:
            text += "".join(_character(rng) for _ in range(rng.randrange(1, 25)))
        else:
            text += rng.choice([" ", "\n", "\t", "  ", "'s", "'LL", " 12", "...", "<|im_end|>", "<|im_start|>"])
    return text


def all_texts(count, seed=0):
    """The sentences above, and random texts up to `count` in all."""
    rng = random.Random(seed)
    return SENTENCES + [random_text(rng) for _ in range(count - len(SENTENCES))]
