from typing import Any

from numpy.typing import NDArray

Array = NDArray[Any]

CELLS: tuple[tuple[str, int, int, int, bool], ...]
CONV_ACTIVATIONS: tuple[str, ...]
PRECISIONS: tuple[str, ...]

def active_tier() -> str: ...
def available_tiers() -> list[str]: ...
def compiled_tiers() -> list[str]: ...
def vector_bytes() -> int: ...
def get_num_threads() -> int: ...
def cores_allowed() -> int: ...
def cores_of_quota(words: str) -> int: ...
def replay_patience(events: list[tuple[int, int, int]]) -> list[int]: ...
def assume_threads(cores: int = 0, busy: int = -1, alone_from: int = 0) -> None: ...
def compiler() -> str: ...
def activation(name: str, x: Array) -> Array: ...
def has_probe(name: str) -> bool: ...
def has_tile_product() -> bool: ...
def tile_product(a: Array, b: Array, c: Array) -> Array: ...
def release_memory() -> int: ...
def kept_memory() -> int: ...
def empty_rows(rows: int, width: int, single: bool) -> Array: ...
def is_native(precision: int) -> bool: ...
def probe_rates(name: str, threads: int, rounds: int, data: Array | None, samples: int) -> Array: ...
def probe_regions(threads: int, steps: int, operations: float, samples: int) -> Array: ...
def dense_forward(x: Array, weight: Array, bias: Array | None) -> Array: ...
def dense_backward(
    x: Array, weight: Array, grad_y: Array, need_grad_x: bool
) -> tuple[Array | None, Array, Array]: ...
def embedding_forward(tokens: Array, weight: Array) -> Array: ...
def embedding_backward(tokens: Array, grad_y: Array, num_embeddings: int) -> Array: ...
def adam_update(
    param: Array,
    grad: Array,
    m: Array,
    v: Array,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    decoupled: bool,
    scale: float,
    correction1: float,
    correction2: float,
) -> None: ...
def sgd_update(
    param: Array,
    grad: Array,
    velocity: Array,
    lr: float,
    momentum: float,
    nesterov: bool,
    weight_decay: float,
    scale: float,
) -> None: ...
def squared_norm(values: Array) -> float: ...
def rnn_memory(
    cell: int, precision: int, single: bool, batch: int, steps: int, inputs: int, hidden: int, output: int
) -> tuple[int, int, int]: ...
def rnn_forward_whole(
    cell: int,
    precision: int,
    reverse: bool,
    x: Any,
    weights: Any,
    extra: Array | None,
    state: Any,
    keep_tape: bool,
) -> tuple[Array, Any, Array | None] | None: ...
def rnn_backward_whole(
    cell: int,
    precision: int,
    reverse: bool,
    x: Array,
    weights: Any,
    extra: Array | None,
    state: Any,
    y: Array,
    tape: Array,
    grad_y: Any,
    grad_state: Any,
    need_grad_x: bool,
) -> tuple[Array | None, list[Array]] | None: ...
def rnn_forward(
    cell: int,
    precision: int,
    reverse: bool,
    x: Array,
    x_start: Array,
    lengths: Array,
    weight_ih: Array,
    weight_hh: Array,
    bias_ih: Array,
    bias_hh: Array,
    extra: Array | None,
    h0: Array | None,
    c0: Array | None,
    recurrent_mask: Array | None,
    zoneout_h: Array | None,
    zoneout_c: Array | None,
    y: Array,
    y_start: Array,
    keep_tape: bool,
    /,
) -> tuple[Array, Array | None, Array | None]: ...
def rnn_backward(
    cell: int,
    precision: int,
    reverse: bool,
    x: Array,
    x_start: Array,
    lengths: Array,
    weight_ih: Array,
    weight_hh: Array,
    bias_ih: Array,
    bias_hh: Array,
    extra: Array | None,
    h0: Array | None,
    c0: Array | None,
    recurrent_mask: Array | None,
    zoneout_h: Array | None,
    zoneout_c: Array | None,
    y: Array,
    y_start: Array,
    tape: Array,
    grad_y: Array | None,
    grad_h_last: Array | None,
    grad_c_last: Array | None,
    grad_x: Array | None,
    grad_x_start: Array | None,
    adds_to_grad_x: bool,
    /,
) -> list[Array]: ...
def conv1d_forward(
    x: Array,
    x_start: Array,
    lengths: Array,
    weight: Array,
    bias: Array | None,
    y: Array,
    y_start: Array,
    dilation: int,
    left: int,
    activation: int = 0,
    residual: Array | None = None,
    residual_start: Array | None = None,
    activated: Array | None = None,
    precision: int = 0,
) -> None: ...
def conv1d_forward_whole(
    x: Any, weight: Any, bias: Any, dilation: Any, causal: bool, activation: int, precision: int
) -> Array | None: ...
def conv1d_backward_whole(
    x: Any, weight: Any, grad_y: Any, dilation: Any, causal: bool, need_grad_x: bool, precision: int
) -> tuple[Array | None, Array, Array] | None: ...
def conv1d_backward(
    x: Array,
    x_start: Array,
    lengths: Array,
    weight: Array,
    grad_y: Array,
    y_start: Array,
    grad_x: Array | None,
    grad_x_start: Array | None,
    dilation: int,
    left: int,
    activation: int = 0,
    activated: Array | None = None,
    add: Array | None = None,
    add_start: Array | None = None,
    precision: int = 0,
) -> tuple[Array, Array]: ...
def ctc_first_bad_label(targets: Array, start: Array, lengths: Array, classes: int, blank: int) -> int: ...
def ctc_loss(
    logits: Array,
    start: Array,
    lengths: Array,
    targets: Array,
    target_start: Array,
    target_lengths: Array,
    blank: int,
    grad: Array | None,
    grad_start: Array | None,
    class_bias: Array | None,
    grad_scale: Array | None,
    smoothing: float,
) -> Array: ...
def ctc_loss_whole(logits: Any, targets: Any, blank: Any, with_gradient: bool, out: Any) -> Any | None: ...
def ctc_gradient(logits: Array, count: int) -> Array: ...
def ctc_align(
    logits: Array,
    start: Array,
    lengths: Array,
    targets: Array,
    target_start: Array,
    target_lengths: Array,
    blank: int,
    path_start: Array,
    span_start: Array,
) -> tuple[Array, Array, Array, Array, Array]: ...
def ctc_greedy(
    logits: Array, start: Array, lengths: Array, out_start: Array, blank: int, scored: bool, placed: bool
) -> tuple[Array, Array, Array | None, Array | None, Array | None, Array | None]: ...

class Source: ...

class BeamDecoder:
    def __init__(
        self,
        classes: int,
        blank: int,
        width: int,
        least: float,
        alignments: bool,
        sources: list[Source],
        external: bool,
    ) -> None: ...
    def decode(
        self, logits: Array, start: Array, lengths: Array, n: int
    ) -> tuple[Array, Array, Array, Array, Array, Array, Array]: ...

class BeamStream32:
    def __init__(self, decoder: BeamDecoder) -> None: ...
    def push(self, logits: Array) -> None: ...
    def best(self, n: int, finished: bool) -> tuple[Array, Array, Array, Array, Array, Array, Array]: ...
    def entered(self) -> Array: ...
    def add_rows(self, slots: Array, scores: Array) -> None: ...
    def slots(self) -> list[int]: ...
    def add_finish(self, scores: Array) -> None: ...

class BeamStream64(BeamStream32): ...

class NgramModel:
    unknown: float
    def __init__(
        self,
        sizes: list[int],
        unknown: float,
        word: Array,
        log10: Array,
        backoff: Array,
        begin: Array,
        suffix: Array,
    ) -> None: ...
    def state(self) -> tuple[Any, ...]: ...
    def start(self) -> int: ...
    def score(self, state: int, word: int) -> tuple[float, int]: ...
    @property
    def order(self) -> int: ...
    @property
    def n_ngrams(self) -> int: ...

class ArpaReader:
    def feed(self, text: bytes) -> None: ...
    def finish(self) -> tuple[NgramModel, bytes, Array]: ...
    @property
    def line(self) -> int: ...

class Automaton:
    @property
    def n_states(self) -> int: ...

class Spelling:
    def __init__(self, text: bytes, ends: Array) -> None: ...

def token_automaton(model: NgramModel, word_of: Array, blank: int) -> Automaton: ...
def automaton_source(automaton: Automaton, scale: float, bonus: float) -> Source: ...
def word_source(
    model: NgramModel, spelling: Spelling, spelled: list[bytes], delimiter: int, scale: float, bonus: float
) -> Source: ...
def lexicon_source(labels: Array, lengths: Array, classes: int, delimiter: int) -> Source: ...
def hot_word_source(labels: Array, lengths: Array, boosts: Array, classes: int, delimiter: int) -> Source: ...

class Stream32:
    def __init__(self, rows: int, inputs: int) -> None: ...
    def embedding(self, frame: int, weight: Array) -> int: ...
    def convolution(
        self, frame: int, weight: Array, bias: Array | None, dilation: int, brief: bool
    ) -> int: ...
    def recurrent(
        self,
        frame: int,
        cell: int,
        precision: int,
        output: int,
        weight_ih: Array,
        weight_hh: Array,
        bias_ih: Array,
        bias_hh: Array,
        extra: Array | None,
        zoneout_h: Array | None,
        zoneout_c: Array | None,
    ) -> int: ...
    def elementwise(self, frame: int, which: int) -> int: ...
    def gate(self, frame: int) -> int: ...
    def add(self, a: int, b: int) -> int: ...
    def join(self, a: int, b: int) -> int: ...
    def part(self, frame: int, first: int, width: int) -> int: ...
    def affine(self, frame: int, offset: Array, scale: Array) -> int: ...
    def constant(self, values: Array) -> int: ...
    def width(self, frame: int) -> int: ...
    def frames(self) -> int: ...
    def reset(self) -> None: ...
    def push(self, x: Array, frame: int) -> Array: ...
    def generate(
        self,
        prompt: Array,
        uniforms: Array,
        stops: Array,
        frame: int,
        temperature: float,
        top_k: int,
        top_p: float,
    ) -> Array: ...
    def generate_values(
        self,
        prompt: Array,
        noise: Array,
        frame: int,
        components: int,
        least_scale: float,
        temperature: float,
        low: Array,
        high: Array,
    ) -> Array: ...

class Stream64(Stream32): ...
