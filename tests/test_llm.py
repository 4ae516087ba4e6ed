"""The real model: converted once without changing it, quick to load after, and one-line refusals."""

import json
import shutil
import socket
import time

import pytest
import torch

from lmtutor.data import assets
from lmtutor.errors import AssetError
from lmtutor.models import llm
from lmtutor.runtime import best_dtype

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def smollm2():
    return llm.load_llm(dtype=torch.float32)


@pytest.fixture
def tiny_folder(tmp_path):
    """A causal LM of a few thousand parameters with a tokenizer, as save_pretrained leaves it."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.WordLevel({"<unk>": 0, "</s>": 1, "a": 2, "b": 3}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>", eos_token="</s>").save_pretrained(
        tmp_path / "lm"
    )
    config = LlamaConfig(
        vocab_size=4, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1
    )
    LlamaForCausalLM(config).save_pretrained(tmp_path / "lm")
    return tmp_path / "lm"


def refusal(*args, **kwargs):
    with pytest.raises(AssetError) as caught:
        llm.load_llm(*args, **kwargs)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_converted_model_answers_exactly_as_the_file_it_was_made_from(smollm2):
    """The one slow test (half a minute): the GGUF file is expanded again and compared, weights, logits and tokens."""
    model, tokenizer = smollm2
    original, original_tokenizer = llm.load_gguf(assets.fetch(assets.SMOLLM2))
    original = original.to(torch.float32)
    text = "Q: In 1969, who walked on the moon?\nA: Neil Armstrong\nQ: What's the capital of France?\nA:"
    assert tokenizer(text).input_ids == original_tokenizer(text).input_ids
    assert tokenizer.chat_template == original_tokenizer.chat_template
    ids = tokenizer(text, return_tensors="pt").input_ids
    with torch.inference_mode():
        torch.testing.assert_close(model(ids).logits, original(ids).logits, rtol=0, atol=0)
    assert llm.weights_hash(model) == llm.weights_hash(original)


def test_the_model_is_what_the_card_says(smollm2):
    from lmtutor.data.cards import card

    model, tokenizer = smollm2
    sizes = card("smollm2").sizes
    assert model.num_parameters() == sizes["parameters"]
    assert model.config.num_hidden_layers == sizes["layers"]
    assert tokenizer.model_max_length == model.config.max_position_embeddings == sizes["tokens of context"]
    assert len(tokenizer) == sizes["words of vocabulary"]


def test_the_model_comes_ready_to_be_asked(smollm2):
    model, tokenizer = smollm2
    assert not model.training and not any(p.requires_grad for p in model.parameters())
    assert model.config._attn_implementation == "sdpa"
    assert model.dtype == torch.float32 and llm.load_llm()[0].dtype == best_dtype()
    assert tokenizer.pad_token_id is not None and tokenizer.padding_side == "left"
    assert tokenizer("no token is put before a text").input_ids[0] != tokenizer.bos_token_id
    answer = model.generate(
        **tokenizer("The capital of France is", return_tensors="pt"), max_new_tokens=1, do_sample=False
    )
    assert tokenizer.decode(answer[0, -1]) == " Paris"


def test_the_tokenizer_gives_every_text_back(smollm2):
    for text in ("don't stop\n\nnow: 12.5%", " leading space", "The café — naïve 😀", "In 1969 and 2004"):
        assert smollm2[1].decode(smollm2[1](text).input_ids) == text


def test_loading_is_quick_and_asks_no_network(smollm2, monkeypatch):
    monkeypatch.setattr(socket.socket, "connect", lambda *args: pytest.fail("it went to the network"))
    began = time.perf_counter()
    llm.load_llm()
    assert (
        time.perf_counter() - began < 3 * 3
    )  # seconds; measured under 1, promised under 3, other work beside it


def test_weights_hash_sees_one_changed_weight_and_only_that(tiny_folder):
    model, _ = llm.load_llm(tiny_folder)
    before = llm.weights_hash(model)
    model.generate(torch.tensor([[2]]), max_new_tokens=2, do_sample=False)
    assert llm.weights_hash(model) == before == llm.weights_hash(llm.load_llm(tiny_folder)[0])
    next(model.parameters()).view(-1)[0] += 1
    assert llm.weights_hash(model) != before


def test_any_folder_with_a_causal_lm_is_loaded(tiny_folder):
    model, tokenizer = llm.load_llm(str(tiny_folder), dtype=torch.float32)
    assert model.dtype == torch.float32 and tokenizer("a b").input_ids == [2, 3]
    assert tokenizer.pad_token == "</s>", "a batch can be padded"


def test_the_readers_own_model_is_loaded_where_none_is_named(tiny_folder, monkeypatch, capsys):
    monkeypatch.setenv("LMTUTOR_QUIET", "1")
    monkeypatch.setenv("LMTUTOR_MODEL", str(tiny_folder))
    assert llm.load_llm()[0].config.hidden_size == 8
    assert capsys.readouterr().err == f"the model is {tiny_folder}, named in LMTUTOR_MODEL; the book's numbers are smollm2's\n"
    assert llm.load_llm("smollm2")[0].config.hidden_size == 576, "a record names its model"
    assert capsys.readouterr().err == ""
    monkeypatch.setenv("LMTUTOR_MODEL", "/no/such/folder")
    assert refusal().startswith("/no/such/folder is not a model's folder")


def test_a_folder_without_a_model(tmp_path):
    assert refusal(tmp_path) == (
        f"{tmp_path} is not a model's folder: it has no config.json; give one that save_pretrained wrote"
    )
    assert "it has no config.json" in refusal("./no-such-folder")


def test_a_folder_whose_weights_are_cut_short(tiny_folder):
    weights = tiny_folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    assert refusal(tiny_folder).startswith(f"cannot load the model '{tiny_folder}': ")


def test_unknown_model_without_network(monkeypatch):
    def cut(*args, **kwargs):
        raise OSError("Network is unreachable")

    monkeypatch.setattr(socket.socket, "connect", cut)
    monkeypatch.setattr(socket, "getaddrinfo", cut)
    assert refusal("lmtutor-nobody/no-such-model") == (
        "cannot load the model 'lmtutor-nobody/no-such-model': the hub cannot be reached and nothing of it is cached; "
        "connect once, or use 'smollm2'"
    )


def test_unknown_model_that_is_no_id():
    assert "the hub has no such model that you may read; give 'smollm2'" in refusal("no such model!")


def test_unknown_model_on_the_hub(monkeypatch):
    import huggingface_hub

    class RepositoryNotFoundError(OSError):
        """What the hub's client raises."""

    def missing(*args, **kwargs):
        raise OSError("many lines\nof advice") from RepositoryNotFoundError("404")

    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", missing)
    assert "the hub has no such model that you may read" in refusal("lmtutor-nobody/no-such-model")


@pytest.fixture
def converted(tmp_path, monkeypatch):
    """A cache whose converted model is a small stand-in with a true manifest."""
    monkeypatch.setenv("LMTUTOR_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(assets, "fetch", lambda name, force=False: tmp_path / "the.gguf")

    def stand_in(gguf, folder):
        folder.mkdir()
        (folder / "model.safetensors").write_bytes(b"weights")
        files = {"model.safetensors": [7, assets.sha256(folder / "model.safetensors")]}
        (folder / llm.MANIFEST).write_text(json.dumps({"files": files}))

    monkeypatch.setattr(llm, "_convert", stand_in)
    return llm.convert()


def test_a_converted_model_that_is_cut_short_is_named_with_its_remedy(converted):
    (converted / "model.safetensors").write_bytes(b"weigh")
    assert refusal() == (
        f"{converted / 'model.safetensors'} is damaged; run `lmtutor fetch smollm2 --force` to make it again"
    )
    llm.convert(force=True)
    assert llm.check_converted() is None


def test_a_changed_byte_is_found_by_the_thorough_check(converted):
    (converted / "model.safetensors").write_bytes(b"wEights")
    assert llm.check_converted(thorough=False) is None, "the quick look reads sizes only"
    assert "is damaged" in llm.check_converted()


def test_a_lost_manifest_and_a_lost_model(converted):
    (converted / llm.MANIFEST).write_text("{")
    assert f"{llm.MANIFEST} is damaged" in llm.check_converted()
    shutil.rmtree(converted)
    assert llm.check_converted() == "smollm2 is not converted yet; run `lmtutor fetch smollm2`"


def test_a_conversion_that_fails_leaves_nothing(converted, monkeypatch):
    def fails(gguf, folder):
        folder.mkdir()
        (folder / "model.safetensors").write_bytes(b"half")
        raise OSError(28, "No space left on device")

    shutil.rmtree(converted)
    monkeypatch.setattr(llm, "_convert", fails)
    assert "the disk filled up" in refusal()
    assert list(converted.parent.iterdir()) == []
