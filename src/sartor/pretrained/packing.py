"""Packing: the real tokens of many rows end to end, so that no layer ever works on padding.

Linear layers, norms and activations see one long sequence (1, S, D). Attention is the only place where rows matter:
rows of like length form a stretch and are attended together, padded to the longest of the stretch, which the stretches
are chosen to make nearly free (Krell et al. 2021, arXiv 2107.02027, remove padding by packing too; here no row is
joined to another and no mask of S x S is needed). A transformers model reaches this through its attention interface.

Legend: S tokens of all rows, h heads, d width of a head, n rows of a stretch, T its longest row.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import handle_torch_function, has_torch_function

from sartor.pretrained import front
from sartor.pretrained.chance import kept

NAME = "sartor_packed"
ROUND = 64
"""Packed sequences are filled up to a multiple of this: the products' code is made once for each number of tokens."""
STRETCH_COST = 30_000.0
"""What one more stretch costs, in scores (elements of T x T): about 20 operations in forward and backward."""
PADDED_TOKEN_COST = 60.0
"""What one padded token costs per head besides its scores: its share of gathering and of the products."""
FEW_BLOCKS = 2
"""Blocks up to which attending in 32 bits is faster (docs/log.md)."""
MOST_SCORES = 1 << 19
"""Scores per head in one stretch: they stay in the cache between the products."""
UNSEEN = torch.finfo(torch.float32).min
"""The score of a key that is not seen; finite, because places behind a row's end may see none at all."""
KEEP_UNTIL = 64
"""Rows longer than this have their attention weights computed again in the backward pass instead of kept."""


@dataclass
class Stretch:
    """Rows of like length, attended together. Tokens `first` to `last` of the packed sequence are theirs."""

    first: int
    lengths: Tensor  # (n,)
    indexes: dict[int, tuple[Tensor, Tensor]] = field(default_factory=dict)
    masks: dict[tuple[int, torch.dtype], Tensor] = field(default_factory=dict)

    @functools.cached_property
    def rows(self) -> int:
        return len(self.lengths)

    @functools.cached_property
    def longest(self) -> int:
        return int(self.lengths.max())

    @functools.cached_property
    def last(self) -> int:
        return self.first + int(self.lengths.sum())

    @functools.cached_property
    def inside(self) -> Tensor | None:
        """(n, T) which places hold a token, or None where all do."""
        if int(self.lengths.min()) == self.longest:
            return None
        return torch.arange(self.longest) < self.lengths[:, None]

    def ends(self, heads: int, dtype: torch.dtype) -> Tensor | None:
        """(n h, 1, T) to add to scores so that keys behind a row's end are not seen, or None where there are none."""
        if self.inside is None:
            return None
        if (heads, dtype) not in self.masks:
            behind = torch.zeros(self.inside.shape, dtype=dtype).masked_fill_(~self.inside, UNSEEN / 2)
            self.masks[heads, dtype] = behind.repeat_interleave(heads, 0)[:, None]
        return self.masks[heads, dtype]

    def index(self, heads: int) -> tuple[Tensor, Tensor]:
        """into (n h T,): which row of (S h, d) stands there; back (tokens h,): where each (token, head) stands."""
        if heads not in self.indexes:
            places = torch.arange(self.longest).minimum(self.lengths[:, None] - 1)  # beyond the end: the last token
            starts = self.first + self.lengths.cumsum(0) - self.lengths
            tokens = starts[:, None] + places  # (n, T)
            into = tokens[:, None, :] * heads + torch.arange(heads)[:, None]  # (n, h, T)
            stands = torch.arange(into.numel()).view(into.shape).transpose(1, 2)  # (n, T, h)
            inside = self.inside
            back = stands.reshape(-1) if inside is None else stands[inside].reshape(-1)
            self.indexes[heads] = into.reshape(-1), back
        return self.indexes[heads]


@dataclass(frozen=True)
class Packing:
    """How rows lie in the packed sequence: in order of length, cut into stretches."""

    order: Tensor  # (B,) the batch's rows from the shortest to the longest
    lengths: Tensor  # (B,) theirs, in that order
    stretches: list[Stretch]
    wide: bool = False  # attend in 32 bits: in bf16 each new shape costs its code, which few blocks do not repay
    across: Packing | None = (
        None  # what queries that look elsewhere see: other tokens of the same rows, in the same cuts
    )

    @classmethod
    def of(cls, lengths: Tensor, blocks: int | None = None) -> Packing:
        """The packing of rows of these lengths for a network of so many blocks."""
        order = torch.argsort(lengths, stable=True)
        ordered = lengths[order]
        ends = _cuts(ordered.tolist())
        starts = [0, *ends[:-1]]
        offsets = [0, *ordered.cumsum(0).tolist()]
        made = [Stretch(offsets[a], ordered[a:b]) for a, b in zip(starts, ends, strict=True)]
        return cls(order, ordered, made, wide=blocks is not None and blocks <= FEW_BLOCKS)

    @classmethod
    def of_pairs(cls, lengths: Tensor, others: Tensor, blocks: int | None = None) -> Packing:
        """The packing of rows of two parts: of the first, whose queries may see the second (`across`). Rows lie in
        order of their longer part, so that one cut serves both."""
        longer = torch.maximum(lengths, others)
        order = torch.argsort(longer, stable=True)
        ends = _cuts(longer[order].tolist())
        wide = blocks is not None and blocks <= FEW_BLOCKS
        found: list[Packing] = []
        for each in (others[order], lengths[order]):
            offsets = [0, *each.cumsum(0).tolist()]
            made = [Stretch(offsets[a], each[a:b]) for a, b in zip([0, *ends[:-1]], ends, strict=True)]
            found.append(cls(order, each, made, wide, across=found[0] if found else None))
        return found[1]

    @functools.cached_property
    def tokens(self) -> int:
        """S, without what fills it up."""
        return int(self.lengths.sum())

    def positions(self) -> Tensor:
        """(S,) each token's place in its row."""
        starts = self.lengths.cumsum(0) - self.lengths
        return torch.arange(self.tokens) - starts.repeat_interleave(self.lengths)

    def filled(self, values: Tensor) -> Tensor:
        """(S, ...) -> (S rounded up, ...), with zeros behind."""
        short = -self.tokens % ROUND
        return torch.cat([values, values.new_zeros(short, *values.shape[1:])]) if short else values

    def unpacked(self, hidden: Tensor) -> Tensor:
        """(S, D) -> (B, T, D), rows in packed order, zeros behind their ends."""
        inside = torch.arange(int(self.lengths[-1])) < self.lengths[:, None]
        out = hidden.new_zeros(*inside.shape, hidden.shape[-1])
        out[inside] = hidden[: self.tokens]
        return out

    def back(self, features: Tensor) -> Tensor:
        """(B, D) of rows in packed order -> in the batch's order."""
        return features[torch.argsort(self.order)]


def _cuts(lengths: list[int]) -> list[int]:
    """Ends of the stretches: the cheapest partition of the sorted lengths (dynamic programme over where one ends)."""
    best, came = [0.0], [0]
    for end in range(1, len(lengths) + 1):
        longest, cheapest, where = lengths[end - 1], float("inf"), end - 1
        real = 0
        for start in range(end - 1, -1, -1):
            real += lengths[start]
            count = end - start
            if count > 1 and count * longest * longest > MOST_SCORES:
                break
            padded = count * longest - real
            cost = best[start] + STRETCH_COST + count * longest * longest + PADDED_TOKEN_COST * padded
            if cost < cheapest:
                cheapest, where = cost, start
        best.append(cheapest)
        came.append(where)
    ends, end = [], len(lengths)
    while end:
        ends.append(end)
        end = came[end]
    return ends[::-1]


@dataclass(frozen=True)
class Sight:
    """What a query sees of its row: everything; with `causal` nothing later; only keys fewer than `window` away; with
    `across` the row's other part."""

    scale: float
    causal: bool = False
    window: int | None = None
    across: bool = False


class Attention(torch.autograd.Function):
    """softmax(scale q k^T) v within every row; (S, h, d) tensors in and out, softmax in 32 bits."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, packing: Packing, sight: Sight, p: float) -> Tensor:
        seen = packing.across if sight.across and packing.across is not None else packing
        out = torch.empty(q.shape, dtype=q.dtype, device=q.device)
        out[packing.tokens :] = 0.0
        ctx.packing, ctx.seen, ctx.sight, ctx.p = packing, seen, sight, p
        saved: list[Tensor | None] = [q, k, v]
        for stretch, other in zip(packing.stretches, seen.stretches, strict=True):
            (qs,) = _gathered(stretch, packing.wide, q)
            ks, vs = _gathered(other, packing.wide, k, v, heads=q.shape[1])
            weights = _weights(other, qs, ks, sight)
            keep = kept(weights, p) if p else None
            found = torch.bmm(_used(weights, keep), vs)
            _scatter(found if keep is None else found.mul_(1.0 / (1.0 - p)), stretch, out)
            saved += [weights if other.longest <= KEEP_UNTIL else None, keep]
        ctx.save_for_backward(*saved)
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, *kept_parts = ctx.saved_tensors
        make = [torch.empty if t.shape == q.shape else torch.zeros for t in (q, k, v)]  # shared heads add up
        grads = tuple(m(t.shape, dtype=t.dtype, device=t.device) for m, t in zip(make, (q, k, v), strict=True))
        for whole, lies in zip(grads, (ctx.packing, ctx.seen, ctx.seen), strict=True):
            whole[lies.tokens :] = 0.0
        for i, (stretch, other) in enumerate(zip(ctx.packing.stretches, ctx.seen.stretches, strict=True)):
            weights, keep = kept_parts[2 * i : 2 * i + 2]
            parts = _stretch_backward(ctx, stretch, other, weights, keep, grad, q, k, v)
            for part, whole, lies in zip(parts, grads, (stretch, other, other), strict=True):
                _scatter(part, lies, whole, q.shape[1])
        return (*grads, None, None, None)


def _stretch_backward(
    ctx: Any, stretch: Stretch, other: Stretch, weights: Tensor | None, keep: Tensor | None, grad: Tensor, *qkv: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients of one stretch's queries, keys and values, (n h, T, d) each."""
    qs, gs = _gathered(stretch, ctx.packing.wide, qkv[0], grad)
    ks, vs = _gathered(other, ctx.packing.wide, *qkv[1:], heads=qkv[0].shape[1])
    inside = stretch.inside
    if inside is not None:  # what stands behind a row's end is another token's gradient
        gs.view(stretch.rows, -1, *gs.shape[1:]).mul_(inside[:, None, :, None].to(gs.dtype))
    if weights is None:
        weights = _weights(other, qs, ks, ctx.sight)
    if keep is not None:
        gs.mul_(1.0 / (1.0 - ctx.p))
    gv = torch.bmm(_used(weights, keep).transpose(1, 2), gs)
    inner = torch.bmm(gs, vs.transpose(1, 2))
    if keep is not None:
        inner.mul_(keep)
    scores = torch.ops.aten._softmax_backward_data(inner.float(), weights.float(), -1, torch.float32).to(weights.dtype)
    return _scaled(scores, ks, ctx.sight.scale), _scaled(scores.transpose(1, 2), qs, ctx.sight.scale), gv


def _used(weights: Tensor, keep: Tensor | None) -> Tensor:
    return weights if keep is None else weights * keep


def _scaled(a: Tensor, b: Tensor, scale: float, plus: Tensor | None = None) -> Tensor:
    """scale a b, plus `plus`: in the product itself, not in another pass."""
    if plus is None:
        return torch.baddbmm(a.new_empty(1, 1, 1), a, b, beta=0, alpha=scale)
    return torch.baddbmm(plus, a, b, alpha=scale)


def _gathered(stretch: Stretch, wide: bool, *tensors: Tensor, heads: int | None = None) -> tuple[Tensor, ...]:
    """(S, heads, d) -> (n h, T, d) each, in 32 bits where `wide`; heads of keys are shared where they are fewer."""
    heads = heads or tensors[0].shape[1]
    into, _ = stretch.index(heads)
    found = []
    for t in tensors:
        where = into if t.shape[1] == heads else _shared(into, heads, t.shape[1])
        part = t.reshape(-1, t.shape[-1]).index_select(0, where).view(-1, stretch.longest, t.shape[-1])
        found.append(part.float() if wide else part)
    return tuple(found)


def _shared(index: Tensor, heads: int, fewer: int) -> Tensor:
    """The rows of (S fewer, d) for an index into (S heads, d): neighbouring heads share one."""
    return index.div(heads, rounding_mode="floor") * fewer + (index % heads).div(heads // fewer, rounding_mode="floor")


def _scatter(part: Tensor, stretch: Stretch, whole: Tensor, heads: int | None = None) -> None:
    """(n h, T, d) -> the stretch's tokens of (S, heads, d); shared heads add up."""
    heads = heads or whole.shape[1]
    into, back = stretch.index(heads)
    flat = part.view(-1, part.shape[-1]).to(whole.dtype)
    if whole.shape[1] == heads:
        rows = whole.view(-1, whole.shape[-1])[stretch.first * heads : stretch.last * heads]
        torch.index_select(flat, 0, back, out=rows)
        return
    whole.view(-1, whole.shape[-1]).index_add_(0, _shared(into, heads, whole.shape[1])[back], flat[back])


def _weights(stretch: Stretch, q: Tensor, k: Tensor, sight: Sight) -> Tensor:
    """(n h, T, T') attention weights, in the products' precision; `stretch` is that of the keys."""
    ends = stretch.ends(len(q) // stretch.rows, q.dtype)
    scores = _scaled(q, k.transpose(1, 2), sight.scale, ends).float()
    far = _far(stretch.longest, sight)
    if far is not None:
        scores.masked_fill_(far, UNSEEN)
    return torch.softmax(scores, -1).to(q.dtype)


def _far(longest: int, sight: Sight) -> Tensor | None:
    """(T, T) keys that a query does not see though they are tokens of its row, or None where it sees them all."""
    if not sight.causal and (sight.window is None or longest <= sight.window):
        return None
    ahead = torch.arange(longest) - torch.arange(longest)[:, None]  # key's place minus query's
    far = ahead > 0 if sight.causal else torch.zeros_like(ahead, dtype=torch.bool)
    return far if sight.window is None else far | (ahead.abs() >= sight.window)


UNKNOWN = ("position_bias", "softcap", "s_aux", "head_mask")
"""What an attention may ask for besides the usual; a model that does is not packed."""


def attend(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    packing: Packing | None = None,
    **more: Any,
) -> tuple[Tensor, None]:
    """transformers' attention interface: packed where the body packed its tokens, torch's own otherwise. A mode may
    watch it.

    query (1, h, S, d) packed or (B, h, T, d) padded; returns (1, S, h, d) or (B, T, h, d).
    """
    if has_torch_function((query, key, value)):
        asked = {"scaling": scaling, "dropout": dropout, "packing": packing, **more}
        states = (query, key, value)
        seen: tuple[Tensor, None] = handle_torch_function(attend, states, module, *states, attention_mask, **asked)
        return seen
    ahead = vars(module).get(front.PLACE)
    if packing is None:
        from transformers.integrations.sdpa_attention import sdpa_attention_forward

        if ahead is not None:
            causal = bool(more.get("is_causal", getattr(module, "is_causal", False)))
            key, value, attention_mask = front.joined(key, value, attention_mask, causal, ahead)
        found: tuple[Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, scaling=scaling, dropout=dropout, **more
        )
        return found
    if any(more.get(name) is not None for name in UNKNOWN):
        raise NotImplementedError("this attention has a bias of its own")
    scale = scaling if scaling is not None else query.shape[-1] ** -0.5
    causal = bool(more.get("is_causal", getattr(module, "is_causal", False)))
    sight = Sight(scale, causal, more.get("sliding_window"), packing.across is not None and not causal)
    q, k, v = (t[0].transpose(0, 1) for t in (query, key, value))  # (S, heads, d)
    if ahead is not None and not sight.across:
        return _attend_behind(q, k, v, packing, sight, dropout, ahead).unsqueeze(0), None
    out: Tensor = Attention.apply(q, k, v, packing, sight, dropout)  # type: ignore[no-untyped-call]
    return out.unsqueeze(0), None


def _attend_behind(
    q: Tensor, k: Tensor, v: Tensor, packing: Packing, sight: Sight, p: float, ahead: front.Ahead
) -> Tensor:
    """(S, h, d) attention in which every query also sees the keys and values ahead."""
    heads, out = q.shape[1], []
    keys, values = (t.repeat_interleave(heads // len(t), 0) for t in ahead(k))  # neighbouring heads share one
    for stretch in packing.stretches:
        qs, ks, vs = _gathered(stretch, False, q, k, v)
        first, firsts = (t.repeat(stretch.rows, 1, 1) for t in (keys, values))
        scores = _scaled(qs, ks.mT, sight.scale).float()
        ends, far = stretch.ends(heads, torch.float32), _far(stretch.longest, sight)
        scores = scores if ends is None else scores + ends
        scores = scores if far is None else scores.masked_fill(far, UNSEEN)
        scores = torch.cat([_scaled(qs, first.mT, sight.scale).float(), scores], -1)
        weights = functional.dropout(torch.softmax(scores, -1).to(q.dtype), p)
        found = torch.bmm(weights, torch.cat([firsts, vs], 1))
        out.append(found.reshape(-1, found.shape[-1]).index_select(0, stretch.index(heads)[1]))
    flat = torch.cat(out).view(-1, heads, v.shape[-1])
    return torch.cat([flat, flat.new_zeros(len(q) - len(flat), *flat.shape[1:])])


def mask(*args: Any, attention_mask: Tensor | None = None, **more: Any) -> Tensor | None:
    """transformers' mask interface: packed rows need none, padded ones torch's own."""
    from transformers.masking_utils import sdpa_mask

    if attention_mask is None:
        return None
    found: Tensor | None = sdpa_mask(*args, attention_mask=attention_mask, **more)
    return found


def register() -> None:
    """Make the attention known to transformers; saying it twice changes nothing."""
    from transformers import AttentionInterface
    from transformers.masking_utils import AttentionMaskInterface

    AttentionInterface.register(NAME, attend)
    AttentionMaskInterface.register(NAME, mask)
