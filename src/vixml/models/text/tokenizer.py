"""Tokenizers: the backbone's own, or one trained on the corpus for the tiny random backbone."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vixml.core.errors import ConfigError, StateError
from vixml.core.guards.untrusted import opening
from vixml.core.seeding import one_thread
from vixml.models.saved import check_tokenizer
from vixml.params.model import BackboneParams

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

_ENCODER_SPECIALS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
USUAL_END = "<|endoftext|>"
"""End token of Qwen and of the tiny decoder; the name stands for a tokenizer's own where that has another."""


def make_tokenizer(params: BackboneParams, texts: Iterable[str]) -> PreTrainedTokenizerFast:
    """Return the backbone's tokenizer; a `tiny` backbone gets one trained on `texts`.

    Raises:
        ConfigError: The tokenizer can be had neither from a folder nor from the hub, or is not a fast one.
    """
    if params.name == "tiny":
        if params.family == "encoder":
            return _train_lowercase_bpe(texts, params.tiny.vocab_size)
        # The prompt stands in every sequence: trained on as often as the texts, it costs one token a word.
        texts = list(texts)
        prompts = [params.prompt.text, params.prompt.image] * len(texts)
        return _train_byte_bpe([*texts, *prompts], params.tiny.vocab_size)
    return load_tokenizer(params.name)


@one_thread()
def load_tokenizer(name: str | Path) -> PreTrainedTokenizerFast:
    """Load a fast tokenizer from a local folder or the hub.

    Raises:
        ConfigError: Not to be had, or without a fast implementation.
    """
    from transformers import AutoTokenizer

    tokenizer = from_hub_or_folder(AutoTokenizer.from_pretrained, name)
    if not tokenizer.is_fast:
        raise ConfigError("the tokenizer has no fast implementation", found=name, remedy="choose another backbone.")
    return tokenizer


@one_thread()
def load_saved_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    """Load a tokenizer that this project saved (`tokenizer.json` and its settings).

    Raises:
        StateError: The folder holds none, or it is malformed.
    """
    from transformers import PreTrainedTokenizerFast

    if not (folder / "tokenizer.json").is_file():
        raise StateError("the tokenizer is missing", file=folder, remedy="run the variant's tokenise stage again.")
    file = folder / "tokenizer.json"
    check_tokenizer(file)
    with opening(file):
        return PreTrainedTokenizerFast.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)


def word_ids(tokenizer: PreTrainedTokenizerFast, text: str) -> tuple[int, ...]:
    """Return the token ids of the words of a prompt, without special tokens."""
    return tuple(tokenizer(text, add_special_tokens=False)["input_ids"]) if text else ()


def special_tokens_in_front(tokenizer: PreTrainedTokenizerFast) -> tuple[tuple[int, ...], int]:
    """Return the begin-of-sequence id where the tokenizer puts one before a text, and the number of special ids there.

    Llama and Gemma were pretrained with such a token, Qwen without; BERT has [CLS], which counts as one in front.
    """
    ids, bare = (list(tokenizer("a", add_special_tokens=flag)["input_ids"]) for flag in (True, False))
    front = next((place for place in range(len(ids)) if ids[place : place + len(bare)] == bare), 0)
    begins = front > 0 and ids[0] == tokenizer.bos_token_id
    return ((ids[0],) if begins else ()), front


def end_ids(tokenizer: PreTrainedTokenizerFast, end: str) -> tuple[int, ...]:
    """Return the id of a decoder's end token: the one named, else the tokenizer's own; none for an empty name.

    Raises:
        ConfigError: A token of one's own choice is unknown.
    """
    if not end:
        return ()
    if end in tokenizer.get_vocab():
        return (int(tokenizer.convert_tokens_to_ids(end)),)
    if end != USUAL_END:
        raise ConfigError("backbone.prompt.end is no token of this tokenizer", found=end, remedy='name one, or "".')
    return () if tokenizer.eos_token_id is None else (int(tokenizer.eos_token_id),)


def from_hub_or_folder(load: Any, name: str | Path, **options: Any) -> Any:
    """Call a transformers `from_pretrained` and turn its many failures into one clear error.

    Raises:
        ConfigError: No such folder or hub name, or the hub cannot be reached.
    """
    folder = Path(name).expanduser()
    is_folder = folder.is_dir()
    if not is_folder and (folder.is_absolute() or str(name).startswith((".", "~"))):
        raise ConfigError("the backbone's folder does not exist", file=folder, remedy="check the path.")
    if is_folder and not (folder / "config.json").is_file():
        raise ConfigError(
            "the folder contains no transformers model",
            file=folder,
            expected="config.json, the weights and the tokenizer files",
        )
    try:
        return load(str(folder) if is_folder else str(name), **{**options, "trust_remote_code": False})
    except (OSError, ValueError, ImportError) as err:
        raise ConfigError(
            "the backbone could not be loaded",
            found=f"{name} ({str(err).splitlines()[0] if str(err) else type(err).__name__})",
            expected="a local folder with a transformers model, or a hub name and a network",
            remedy="give a local folder with `--params encoder_backbone=FOLDER` (or decoder_backbone), "
            "or use `tiny`, which needs no download.",
        ) from err


def _train_lowercase_bpe(texts: Iterable[str], vocab_size: int) -> PreTrainedTokenizerFast:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    # WordPieceTrainer would give another vocabulary at every call.
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size, special_tokens=list(_ENCODER_SPECIALS), show_progress=False, min_frequency=2
    )
    tokenizer.train_from_iterator(texts, trainer)
    ids = {token: tokenizer.token_to_id(token) for token in _ENCODER_SPECIALS}
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", ids["[CLS]"]), ("[SEP]", ids["[SEP]"])]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]"
    )


def _train_byte_bpe(texts: Iterable[str], vocab_size: int) -> PreTrainedTokenizerFast:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=max(vocab_size, 257),
        special_tokens=[USUAL_END],
        show_progress=False,
        min_frequency=2,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=USUAL_END, pad_token=USUAL_END)
