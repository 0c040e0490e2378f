"""Datasets, machines, weights and times as property tests draw them."""

from hypothesis import strategies as st

from pipeline.start.choosing import STUDENTS, TEACHERS
from pipeline.start.values import Data, Machine, Timing

GIB = 2**30
MODELS = sorted({kind.encoder for kind in STUDENTS} | {kind.model for kind in TEACHERS})

datasets = st.builds(
    Data,
    side=st.integers(1, 20_000),
    labeled=st.integers(1, 100_000),
    unlabeled=st.integers(0, 100_000),
    val=st.integers(0, 1000),
    val_megapixels=st.floats(0, 1000),
    test=st.integers(0, 1000),
)
machines = st.builds(
    Machine,
    device=st.sampled_from(["cpu", "cuda"]),
    name=st.just("a device"),
    cores=st.integers(1, 256),
    memory=st.integers(0, 200 * GIB),
    bf16=st.booleans(),
    disk=st.integers(0, 10**13),
)
weights = st.dictionaries(st.sampled_from(MODELS), st.sampled_from(["hub", "/a folder/w.pth"]))
timings = st.builds(Timing, step=st.floats(1e-3, 100), teacher=st.floats(0, 10))
hours = st.floats(0.01, 200)

LAPTOP = Machine(
    device="cpu", name="a CPU with 8 cores", cores=8, memory=12 * GIB, bf16=False, disk=100 * GIB
)
SMALL_GPU = Machine(
    device="cuda", name="a GPU", cores=8, memory=round(7.5 * GIB), bf16=True, disk=100 * GIB
)
CHIPS = Data(side=300, labeled=100, unlabeled=94, val=15, val_megapixels=1.4, test=15)
EVERYTHING = dict.fromkeys(MODELS, "hub")
