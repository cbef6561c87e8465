"""Tensors as rows, and hooks on models that are made from a config with random weights. Runs where torch is installed."""

import numpy as np
import pytest
from conftest import D, M, Proxy, random_rows, same_codes

from pursuit_client import Client, NotFound, Unavailable

torch = pytest.importorskip("torch")
from pursuit_client.torch import record, steer  # noqa: E402

EDITS = [{"feature": 3, "op": "add_direction", "strength": 5.0}]


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16"])
def test_tensors_are_sent_in_their_own_type(client, dtype):
    rows = torch.from_numpy(random_rows(6)).to(getattr(torch, dtype))
    codes = client.encode("random", rows, max_atoms=4)
    assert same_codes(codes, client.encode("random", rows.double().numpy(), max_atoms=4))
    strided = torch.stack([rows, rows], dim=-1)[..., 1]
    assert not strided.is_contiguous()
    assert same_codes(client.encode("random", strided, max_atoms=4), codes)


def test_bfloat16_goes_out_as_two_bytes_a_number(proxy):
    sizes = []
    ask = proxy.ask
    proxy.ask = lambda method, path, headers, body: sizes.append((path, len(body))) or ask(method, path, headers, body)
    with Client(proxy.url) as client:
        client.encode("random", torch.ones(5, D, dtype=torch.bfloat16), max_atoms=1)
    [(path, size)] = sizes
    assert "dtype=bfloat16" in path
    assert size == 5 * D * 2


def test_other_tensors(client):
    rows = torch.from_numpy(random_rows(6)).requires_grad_()
    expected = client.encode("random", rows.detach().numpy(), max_atoms=4)
    assert same_codes(client.encode("random", rows, max_atoms=4), expected)
    assert same_codes(client.encode("random", list(rows), max_atoms=4), expected)
    assert same_codes(client.encode("random", [rows[:2], rows[2:]], max_atoms=4), expected)
    whole = (rows.detach() * 4).round().int()
    assert same_codes(client.encode("random", whole, max_atoms=4), client.encode("random", whole.numpy(), max_atoms=4))
    with pytest.raises(TypeError, match="complex"):
        client.encode("random", rows.to(torch.complex64))


def test_codes_as_a_sparse_tensor(client):
    codes = client.encode("random", random_rows(6), max_atoms=4)
    sparse = codes.to_torch_sparse()
    assert sparse.layout == torch.sparse_csr
    assert np.array_equal(sparse.to_dense().numpy(), codes.toarray())


class Block(torch.nn.Module):
    def __init__(self, pair):
        super().__init__()
        self.linear = torch.nn.Linear(D, D)
        self.pair = pair

    def forward(self, hidden):
        hidden = hidden + torch.tanh(self.linear(hidden))
        return (hidden, "cache") if self.pair else hidden


class Model(torch.nn.Module):
    """Three blocks over [batch, tokens, d]; the second gives a tuple, as transformers' do."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.blocks = torch.nn.ModuleList([Block(False), Block(True), Block(False)])
        self.head = torch.nn.Linear(D, 7)

    def forward(self, hidden):
        for block in self.blocks:
            out = block(hidden)
            hidden = out[0] if isinstance(out, tuple) else out
        return self.head(hidden)


@pytest.fixture
def model():
    return Model()


@pytest.fixture
def tokens():
    return torch.from_numpy(random_rows(8, seed=9)).reshape(2, 4, D)


@pytest.mark.parametrize("name", ["blocks.0", "blocks.1", "blocks.1.linear"])
def test_record(client, model, tokens, name):
    seen = []
    module = model.get_submodule(name)
    handle = module.register_forward_hook(lambda _m, _i, out: seen.append(out[0] if isinstance(out, tuple) else out))
    bare = model(tokens)
    with record(model, name, client, "random", max_atoms=5, include=["trace"]) as recorded:
        assert torch.equal(model(tokens), bare)
        model(tokens[:1, :3])
    model(tokens)
    handle.remove()
    assert [codes.inputs_shape for codes in recorded.calls] == [(2, 4, D), (1, 3, D)]
    assert len(recorded.codes) == 11
    assert same_codes(recorded.calls[0], client.encode("random", seen[0].detach().numpy(), max_atoms=5))
    assert recorded.codes.trace is not None
    assert not module._forward_hooks


def test_record_the_input_and_some_tokens(client, model, tokens):
    with record(model, "blocks.0", client, "random", point="input", tokens=slice(-1, None), max_atoms=5) as recorded:
        model(tokens)
    assert same_codes(recorded.codes, client.encode("random", tokens[:, -1], max_atoms=5))


def test_record_leaves_gradients_alone(client, model, tokens):
    model(tokens).sum().backward()
    expected = [parameter.grad.clone() for parameter in model.parameters()]
    model.zero_grad()
    with record(model, "blocks.1", client, "random", max_atoms=5):
        model(tokens).sum().backward()
    assert all(torch.equal(parameter.grad, grad) for parameter, grad in zip(model.parameters(), expected, strict=True))


@pytest.mark.parametrize("name", ["blocks.0", "blocks.1"])
def test_steer(client, model, tokens, name):
    with torch.no_grad():
        bare = model(tokens)
        with steer(model, name, client, "random", EDITS):
            steered = model(tokens)
        assert torch.equal(model(tokens), bare)
        assert not torch.allclose(steered, bare)
        # The same by hand.
        hidden = model.blocks[0](tokens)
        if name == "blocks.1":
            hidden = model.blocks[1](hidden)[0]
        hidden = torch.from_numpy(client.steer("random", hidden.numpy(), EDITS).outputs).reshape(hidden.shape)
        for block in model.blocks[int(name[-1]) + 1 :]:
            out = block(hidden)
            hidden = out[0] if isinstance(out, tuple) else out
        assert torch.equal(model.head(hidden), steered)


def test_steer_the_input_of_a_module_and_some_tokens(client, model, tokens):
    with torch.no_grad(), steer(model, "head", client, "random", EDITS, point="input", tokens=slice(-1, None)) as steering:
        steered = model(tokens)
    bare = model(tokens)
    assert torch.equal(steered[:, :-1], bare[:, :-1])
    assert not torch.allclose(steered[:, -1], bare[:, -1])
    assert steering.changes == []


def test_an_edit_is_a_constant_for_gradients(client, model, tokens):
    with torch.no_grad():
        hidden = model.blocks[0](tokens)
        rows = client.steer("random", hidden.numpy(), EDITS).outputs
        change = torch.from_numpy(rows).reshape(hidden.shape) - hidden
    handle = model.blocks[0].register_forward_hook(lambda _m, _i, out: out + change)
    model(tokens).square().sum().backward()
    handle.remove()
    expected = [parameter.grad.clone() for parameter in model.parameters()]
    model.zero_grad()
    with steer(model, "blocks.0", client, "random", EDITS):
        model(tokens).square().sum().backward()
    for parameter, grad in zip(model.parameters(), expected, strict=True):
        assert torch.allclose(parameter.grad, grad, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", ["float64", "bfloat16", "float16"])
def test_rows_without_an_edit_keep_their_bits(client, tokens, dtype):
    class Pass(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = torch.nn.Identity()

        def forward(self, hidden):
            return self.inner(hidden)

    rows = tokens.to(getattr(torch, dtype)) / 3
    with steer(Pass(), "inner", client, "random", EDITS, rows=[5]) as steering:
        steered = steering._module(rows)
    assert steered.dtype == rows.dtype
    assert torch.equal(steered.reshape(8, D)[:5], rows.reshape(8, D)[:5])
    assert not torch.equal(steered.reshape(8, D)[5], rows.reshape(8, D)[5])


def test_effects_are_kept(client, model, tokens):
    with steer(model, "blocks.0", client, "random", EDITS, include=["effect"], budget={"max_atoms": 4}) as steering:
        model(tokens)
        model(tokens)
    assert len(steering.changes) == 16
    assert "edits" in steering.changes[0]


def test_a_fault_leaves_no_hook_behind(server, model, tokens):
    with Client(server.url) as client:
        with pytest.raises(NotFound), steer(model, "blocks.0", client, "missing", EDITS):
            model(tokens)
        with pytest.raises(NotFound), record(model, "blocks.0", client, "missing"):
            model(tokens)
        with pytest.raises(KeyError), record(model, "blocks.0", client, "random", max_atoms=1):
            raise KeyError("the caller's own")
    assert not model.blocks[0]._forward_hooks
    dead = Proxy(None)
    with Client(dead.url, deadline=0.2) as client, pytest.raises(Unavailable), record(model, "blocks.0", client, "random"):
        model(tokens)
    dead.close()


def test_modules_that_cannot_be_hooked(client, model, tokens):
    with pytest.raises(ValueError, match=r"no module 'block\.0'"):
        record(model, "block.0", client, "random")
    with pytest.raises(ValueError, match=r"There are blocks\.0\.linear"):
        record(model, "layers.0.linear", client, "random")
    with pytest.raises(TypeError, match="give a torch module"):
        record("gpt2", "blocks.0", client, "random")
    with pytest.raises(ValueError, match="point is"):
        record(model, "blocks.0", client, "random", point="middle")
    with record(model, "blocks.0", client, "random") as recorded, pytest.raises(ValueError, match="has not run"):
        recorded.codes  # noqa: B018


def test_transformers(client):
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.GPT2Config(
        n_embd=D, n_layer=2, n_head=2, vocab_size=50, n_positions=32, bos_token_id=0, eos_token_id=0
    )
    model = transformers.GPT2LMHeadModel(config).eval()
    prompt = torch.tensor([[1, 2, 3, 4]])

    def generate():
        return model.generate(prompt, max_new_tokens=5, min_new_tokens=5, do_sample=False, pad_token_id=0)

    bare = generate()
    with record(model, "transformer.h.1", client, "random", max_atoms=4) as recorded:
        assert torch.equal(generate(), bare)
    # The prompt, then one token at a time from the cache.
    assert [codes.inputs_shape for codes in recorded.calls] == [(1, 4, D)] + [(1, 1, D)] * 4
    with steer(model, "transformer.h.0", client, "random", [{"feature": 7, "op": "add_direction", "strength": 80.0}]):
        steered = generate()
    assert steered.shape == bare.shape
    assert not torch.equal(steered, bare)
    assert torch.equal(generate(), bare)


def test_transformer_lens(client):
    lens = pytest.importorskip("transformer_lens")
    if not hasattr(lens, "HookedTransformer"):
        pytest.skip("TransformerLens 4 makes no model from a config alone")
    config = lens.HookedTransformerConfig(
        n_layers=2, d_model=D, n_ctx=16, d_head=8, n_heads=4, d_vocab=50, act_fn="gelu", seed=0, device="cpu"
    )
    model = lens.HookedTransformer(config)
    prompt = torch.tensor([[1, 2, 3, 4]])
    bare, cache = model.run_with_cache(prompt)
    with record(model, "blocks.0.hook_resid_post", client, "random", max_atoms=4) as recorded:
        model(prompt)
    stream = cache["blocks.0.hook_resid_post"]
    assert same_codes(recorded.codes, client.encode("random", stream.detach(), max_atoms=4))
    with torch.no_grad(), steer(model, "blocks.0.hook_resid_post", client, "random", EDITS):
        steered, changed = model.run_with_cache(prompt)
    assert not torch.allclose(steered, bare)
    assert not torch.equal(changed["blocks.0.hook_resid_post"], stream)
    assert torch.equal(model(prompt), bare)


def test_nnsight(client):
    nnsight = pytest.importorskip("nnsight")
    inner = Model()
    wrapped = nnsight.NNsight(inner)
    hidden = torch.from_numpy(random_rows(8, seed=9)).reshape(2, 4, D)
    with torch.no_grad():
        bare = inner(hidden)
        with record(wrapped, "blocks.0", client, "random", max_atoms=4) as recorded, wrapped.trace(hidden):
            saved = wrapped.blocks[0].output.save()
        with steer(wrapped, "blocks.0", client, "random", EDITS), wrapped.trace(hidden):
            steered = wrapped.output.save()
    assert same_codes(recorded.codes, client.encode("random", saved, max_atoms=4))
    assert not torch.allclose(steered, bare)
    assert recorded.codes.shape == (8, M)
