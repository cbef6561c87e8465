"""Hooks for any torch module, by its name in the model: record the codes of a forward pass, or steer it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

import torch

from .client import Client
from .codes import Codes
from .types import Edit, EncodeFields

if TYPE_CHECKING:
    from typing_extensions import Unpack

Point = Literal["output", "input"]

# Forward passes whose codes are still under way, at most: each holds a copy of its rows.
_MOST_PENDING = 8


def record(
    model: Any,
    name: str,
    client: Client,
    dictionary: str,
    *,
    point: Point = "output",
    tokens: slice = slice(None),
    **fields: Unpack[EncodeFields],
) -> Recording:
    """Encodes what the module `name` of `model` gives (or takes: `point="input"`) while the context lasts.

    `tokens` picks positions of [batch, tokens, d]. Further arguments are those of `Client.encode`. Rows are copied, and encoded
    beside the forward pass; gradients are not touched. `codes` has all of them, `calls` those of each forward pass.
    """
    return Recording(
        _module_of(model, name), name, point, tokens, lambda rows: client.encode(dictionary, rows, progress=False, **fields)
    )


def steer(
    model: Any,
    name: str,
    client: Client,
    dictionary: str,
    edits: Sequence[Edit] = (),
    *,
    point: Point = "output",
    tokens: slice = slice(None),
    **fields: Any,
) -> Steering:
    """Edits what the module `name` of `model` gives (or takes: `point="input"`) while the context lasts, in generation too.

    `tokens` picks positions of [batch, tokens, d]. Further arguments are those of `Client.steer`. For gradients the edit is a
    constant that is added: they pass as if it were not there. With `include=["effect"]`, `changes` has what each edit did.
    """
    return Steering(_module_of(model, name), name, point, tokens, lambda rows: client.steer(dictionary, rows, edits, **fields))


class Hook:
    """A hook that is there between entering and leaving a context."""

    def __init__(self, module: torch.nn.Module, name: str, point: Point, tokens: slice) -> None:
        if point not in ("output", "input"):
            raise ValueError(f'point is "output" or "input"; it is {point!r}.')
        self._module = module
        self._name = name
        self._point = point
        self._tokens = tokens
        self._handle: Any = None

    def _attach(self) -> None:
        if self._handle is not None:
            raise RuntimeError(f"The hook of {self._name} is there already; make another one.")
        if self._point == "output":
            self._handle = self._module.register_forward_hook(self._after)
        else:
            self._handle = self._module.register_forward_pre_hook(self._before, with_kwargs=True)

    def _detach(self) -> None:
        self._handle.remove()

    def _after(self, _module: Any, _inputs: Any, output: Any) -> Any:
        if isinstance(output, torch.Tensor):
            return self._apply(output)
        if isinstance(output, tuple) and output and isinstance(output[0], torch.Tensor):
            changed = self._apply(output[0])
            return None if changed is None else (changed, *output[1:])
        raise TypeError(
            f"{self._name} gives {type(output).__name__}; hook a module that gives a tensor, or a tuple that begins with one."
        )

    def _before(self, _module: Any, inputs: tuple[Any, ...], named: dict[str, Any]) -> Any:
        if inputs and isinstance(inputs[0], torch.Tensor):
            changed = self._apply(inputs[0])
            return None if changed is None else ((changed, *inputs[1:]), named)
        for key, value in named.items():
            if isinstance(value, torch.Tensor):
                changed = self._apply(value)
                return None if changed is None else (inputs, {**named, key: changed})
        raise TypeError(f"{self._name} takes no tensor; hook another module, or its output.")

    def _apply(self, hidden: torch.Tensor) -> torch.Tensor | None:
        raise NotImplementedError

    def _picked(self, hidden: torch.Tensor) -> torch.Tensor:
        return hidden if self._tokens == slice(None) else hidden[..., self._tokens, :]


class Recording(Hook):
    """Codes of what a module gives, one `Codes` a forward pass."""

    def __init__(
        self, module: torch.nn.Module, name: str, point: Point, tokens: slice, encode: Callable[[torch.Tensor], Codes]
    ) -> None:
        super().__init__(module, name, point, tokens)
        self._encode = encode
        self._pending: deque[Future[Codes]] = deque()
        self._done: list[Codes] = []
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="pursuit-record")

    def __enter__(self) -> Recording:
        self._attach()
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None) -> None:
        self._detach()
        try:
            if kind is None:
                self._collect(0)
        finally:
            self._threads.shutdown(cancel_futures=True)

    @property
    def calls(self) -> list[Codes]:
        """Codes of each forward pass so far; `inputs_shape` is that of its hidden state."""
        self._collect(0)
        return list(self._done)

    @property
    def codes(self) -> Codes:
        """Codes of all forward passes so far, one after the other."""
        if not self.calls:
            raise ValueError(f"{self._name} has not run since it was hooked, so there are no codes.")
        return Codes.concatenate(self._done)

    def _apply(self, hidden: torch.Tensor) -> None:
        # A copy: the model may go on to write into what it gave.
        rows = self._picked(hidden.detach()).to("cpu", copy=True)
        self._pending.append(self._threads.submit(self._encode, rows))
        self._collect(_MOST_PENDING)

    def _collect(self, most: int) -> None:
        while len(self._pending) > most:
            self._done.append(self._pending.popleft().result())


class Steering(Hook):
    """Edits of what a module gives."""

    def __init__(
        self, module: torch.nn.Module, name: str, point: Point, tokens: slice, edit: Callable[[torch.Tensor], Any]
    ) -> None:
        super().__init__(module, name, point, tokens)
        self._edit = edit
        #: What the edits did to each row, of all forward passes; empty unless `include=["effect"]`.
        self.changes: list[dict[str, Any]] = []

    def __enter__(self) -> Steering:
        self._attach()
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None) -> None:
        self._detach()

    def _apply(self, hidden: torch.Tensor) -> torch.Tensor:
        picked = self._picked(hidden)
        with torch.no_grad():
            before = picked.detach()
            steered = self._edit(before)
            self.changes += steered.changes or ()
            after = torch.from_numpy(steered.outputs).to(hidden.device).reshape(before.shape)
            # Rows are float32 on the server. A difference leaves float64 rows without an edit as they are.
            change = after - before.float()
        exact = hidden.dtype == torch.float64 or (hidden.requires_grad and torch.is_grad_enabled())
        edited = picked + change.to(hidden.dtype) if exact else after.to(hidden.dtype)
        if picked is hidden:
            return edited
        whole = hidden.clone()
        whole[..., self._tokens, :] = edited
        return whole


def _module_of(model: Any, name: str) -> torch.nn.Module:
    # nnsight wraps a module into an object of its own.
    root = model if isinstance(model, torch.nn.Module) else getattr(model, "_module", model)
    if not isinstance(root, torch.nn.Module):
        raise TypeError(f"model is {type(model).__name__}; give a torch module, or nnsight's wrapper of one.")
    try:
        return root.get_submodule(name)
    except AttributeError:
        last = name.rsplit(".", 1)[-1]
        near = [path for path, _ in root.named_modules() if path.endswith(last) and path][:3]
        hint = f" There are {', '.join(near)}." if near else " `dict(model.named_modules())` lists what there is."
        raise ValueError(f"The model has no module {name!r}.{hint}") from None
