"""YAML that trips parsers: tags, numbers, dates, depth and aliases, as whole texts and as values of a config."""

from hypothesis import strategies as st

TAGS = [
    "",
    "!!int ",
    "!!float ",
    "!!bool ",
    "!!timestamp ",
    "!!binary ",
    "!!null ",
    "!!str ",
    "!!set ",
    "!!omap ",
]
TAGS += [
    "!!pairs ",
    "!!seq ",
    "!!map ",
    "!!merge ",
    "!!python/object/apply:os.system ",
    "!x ",
    "!<y> ",
]
SCALARS = [
    "x",
    "''",
    '""',
    "-",
    ".",
    "0x",
    "0b",
    "0o9",
    "1:60:61",
    "1e400",
    "-.inf",
    ".nan",
    "2024-13-45",
    "2024-01-01T99:99:99+99:99",
    "0001-01-01T00:00:00+23:59",
    "9" * 5000,
    "0x" + "f" * 9000,
    "9" * 40,
    "-1",
    "1_0_",
    "~",
    "<<",
    "=",
    '"\\0"',
    '"\\ud800"',
    '"\\x1b[2J"',
    "a" * 5000,
    "~nobody-of-that-name/x",
    "[" * 3000,
    "[" * 150 + "]" * 150,
    "{a: " * 100 + "1" + "}" * 100,
    "&a [*a]",
    "&a {b: *a}",
    "*missing",
    "{[1]: 2}",
    "{1: 2}",
    "{<<: 1}",
    "{null: 1, true: 2}",
    "hub",
    "[0.5, 2]",
    "[1e-300, 1e300]",
    "[]",
    "{}",
    "1000000000",
    "0.1",
]

scalars = st.builds(
    "".join,
    st.tuples(st.sampled_from(TAGS), st.sampled_from(SCALARS) | st.text(max_size=12)),
)
texts = (
    st.text(max_size=60)
    | scalars
    | st.builds(
        "\n".join,
        st.lists(
            st.builds("{}: {}".format, st.text("abc?-[]{}&*!|>'\"%@`#, ", max_size=4), scalars)
        ),
    )
)


def places(lines: list[str]) -> st.SearchStrategy[str]:
    """The text of a sound file in which the values of some lines are replaced."""

    def replaced(changes: dict[int, str]) -> str:
        return "\n".join(
            f"{line.split(':')[0]}: {changes[number]}"
            if number in changes and ":" in line
            else line
            for number, line in enumerate(lines)
        )

    numbers = st.integers(0, len(lines) - 1)
    return st.dictionaries(numbers, scalars, min_size=1, max_size=2).map(replaced)
