"""A random BERT and its tokenizer in a folder, as Hugging Face's library saves them: nothing to download or to wait for."""

from string import ascii_lowercase

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
WORDS = ("two", "white", "planes", "plane", "beside", "a", "bar", "dark", "field", "one", "three")
MAX_TOKENS = 24


def build_tokenizer():
    """WordPiece over letters and a few words, so that every Latin word is known."""
    letters = [*ascii_lowercase, *(f"##{letter}" for letter in ascii_lowercase)]
    tokens = {
        token: number for number, token in enumerate(dict.fromkeys([*SPECIAL, *letters, *WORDS]))
    }
    tokenizer = Tokenizer(models.WordPiece(tokens, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        "[CLS] $A [SEP]", special_tokens=[(token, tokens[token]) for token in ("[CLS]", "[SEP]")]
    )
    return tokenizer


def write_bert(folder, *, seed=0, tokenizer=True, dtype=torch.float32, **changes):
    """Write the folder, and return it."""
    built = build_tokenizer()
    config = {
        "vocab_size": built.get_vocab_size(), "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
        "intermediate_size": 24, "max_position_embeddings": MAX_TOKENS,
    }  # fmt: skip
    torch.manual_seed(seed)
    BertModel(BertConfig(**config | changes)).to(dtype).save_pretrained(folder)
    if tokenizer:
        PreTrainedTokenizerFast(
            tokenizer_object=built,
            unk_token="[UNK]",
            pad_token="[PAD]",
            cls_token="[CLS]",
            sep_token="[SEP]",
        ).save_pretrained(folder)
    return folder
