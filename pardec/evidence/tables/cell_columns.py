"""Columns of a cell's row, with units and definitions."""

from __future__ import annotations

from dataclasses import replace

from pardec.evidence.columns import SOURCES, Column, columns
from pardec.evidence.comparison import COLUMNS as COMPARED

WHAT = columns("""
cell                text! | the cell's id
experiment          text! | the question it belongs to
experiment_kind     text | what kind of question that is
task                text! | what is generated
task_label          text | its name on the page
data                text | the dataset the prompts come from
model               text! | name of the model
family              text | kind of decoding: autoregressive, masked_diffusion, or the kind that its decoder declares
arm                 text | the study's name for decoder and settings
label               text | the arm's name on the page
verified            flag | whether the model reproduced its authors' published outputs before it was timed;
    empty: not checked
decoder             text! | how tokens are written
steps               count | forward passes set for the whole canvas; empty where the decoder has no such setting
block               count tokens | tokens of a left-to-right block; empty means the full canvas
settings            text | all settings of the decoder
engine              text | eager, compiled or packed
precision           text | number format of weights and activations
device              text | what the cell ran on
threads             count | threads of a timed cell
batch               count | prompts decoded together
prompt_tokens       count tokens | prompt length; empty: prompts of their own lengths
prompt_mean_tokens  number tokens kind=exact | mean length of the prompts
new_tokens          count tokens | length of the output canvas
random_prompts      flag | whether random tokens replace the prompts
run                 count | which of several separate runs of one configuration
tuning              flag | whether its prompts are those on which settings are chosen
role                text | reference where it is the arm that the experiment's other cells are paired with, else cell
status              text! | ok, oom, timeout, unsupported or failed
reason              text | why it is not ok
""")
TIME = columns("""
n                    size! samples | samples behind the measurements (clean ones, where there are any)
n_all                size! samples | samples taken, flagged ones included
latency_ms           interval ms stem=latency | end to end time of one batch generation, median
ttft_ms              interval ms stem=ttft label=TTFT | time to the first committed token, median
tpot_ms              interval ms stem=tpot label=TPOT | (E2E - TTFT) / (tokens per row - tokens per row of the first
    commit), median; E2E / tokens where one pass commits all
ttft_block_ms        number ms of=n | time until the first left-to-right block is final, median
itl_p50_ms           number ms of=n label=ITL | gap between consecutive commits, median over all samples
itl_p95_ms           number ms of=n kind=tail label="ITL, p95" | the same, 95th percentile; empty below 20 gaps
latency_p95_ms       number ms of=n kind=tail label="latency, p95" | end to end time, 95th percentile; empty below 20
    samples
prefill_ms           number ms of=n | time until the prompt is processed, median; empty where there is no such phase
host_ms              number ms of=n | end to end by the synchronised host clock, median
cpu_ms               number ms of=n | CPU time of the process for one generation, median
tokens_per_s         interval tokens/s label=throughput | useful (pre-EOS) tokens over the whole batch / E2E, median
canvas_tokens_per_s  interval tokens/s label="canvas throughput" | all canvas tokens over the whole batch / E2E,
    median
useful_tokens        number tokens of=n | tokens before the first end token, mean per output
nfe                  number passes of=n label=NFE | forward passes of the model per batch generation, mean
tokens_per_forward   number tokens of=n better=higher label=TPF | tokens committed per row / forward passes, mean
token_forwards       number tokens of=n | positions per row that the forward passes processed, mean
""")
PAIRED = columns("""
reference             text | the cell of the arm that each sample is paired with
reference_arm         text | the study's name for it
reference_model       text | its model
reference_decoder     text | its decoder
reference_family      text | its kind of decoding
n_pairs               size pairs | pairs behind the ratios
reference_latency_ms  number ms of=n_pairs | end to end time of the reference in the same process, median
ratio                 interval × of=n_pairs better=higher label="speed ratio" | latency of the reference / latency of
    the cell, medians of pairs; above 1 the cell is faster
throughput_ratio      interval × of=n_pairs better=higher | useful tokens/s of the cell / of the reference, medians of
    pairs
n_prompts             size prompts | distinct prompts (or batches of prompts) behind it
one_prompt            flag | whether all pairs are of one prompt, so that no interval covers a change of prompts
""")
MEMORY = columns("""
peak_allocated_mb  number MB | peak of allocated memory in one generation, weights included
peak_reserved_mb   number MB | peak of reserved memory (on a CPU: peak resident set)
rss_mb             number MB label="resident set" | peak resident set of the process
weights_mb         number MB | parameters and buffers, and packed copies of them
cache_mb           number MB | keys and values
logits_mb          number MB | logits of one pass
working_mb         number MB | peak allocated less weights
activations_mb     number MB | peak allocated less weights, keys and values, and the logits of a pass
largest_batch      count prompts kind=memory better=higher | largest batch that fits the device's memory, by bisection
""")
WORK = columns("""
flops_per_output       number FLOP | counted operations of one batch generation
bytes_per_output       number B | bytes that one batch generation must move
forwards               count passes kind=count | forward passes counted in it
flops_agreement        number × kind=exact | operations by torch's own counter / ours, over the first pass of each
    shape; torch's counter counts causal attention in full
joules_per_output      number J | energy of one batch generation by the GPU's counter
net_joules_per_output  number J | the same, less the idle GPU's energy
energy_valid           flag | whether the windows were long enough and nothing disturbed them
intensity              number FLOP/B | counted operations per counted byte
achieved_gflop_per_s   number GFLOP/s | counted operations per second
forward_share          number of=n kind=share | share of the time in the model's passes; empty if the decoder
    reports no phases
sampler_share          number of=n kind=share | share of the time in choosing and committing tokens; empty likewise
mfu                    number kind=rate label=MFU | counted operations per second / the machine's measured matmul rate
mbu                    number kind=rate label=MBU | counted bytes per second / the machine's measured copy bandwidth
""")
QUALITY = COMPARED | columns("""
outputs_agree       flag | every prompt's timed output is the same in all cells that share model, decoder, settings
    and canvas
""")
RUN = (
    columns("""
flags            text | flags for the machine's state, with counts
stop_reason      text | precise, budget or maximum
compile_ms       number ms | compilation and capture, apart from warm-up and samples; empty on the eager engine
ready_s          number s kind=reading | from start of the job to the first measurable moment
launch           text | forked or fresh process
rule             text | the workflow rule that measured it
command          text | the command that measured it
code_sha256      text | hash of the code that ran
git_commit       text | commit of the code
git_dirty        flag | whether files differed from that commit
started          text | start of the job
ended            text | end of the job
scores           text | where its outputs were scored
""")
    | SOURCES
)

CELL: dict[str, Column] = {**WHAT, **TIME, **PAIRED, **MEMORY, **WORK, **QUALITY, **RUN}


def taken(names: str) -> dict[str, Column]:
    """Return columns of `cells` by name, for tables in which they may be empty."""
    return {name: replace(CELL[name], nullable=True) for name in names.split()}
