"""Adds the generated pages to the site: commands, config keys and notebooks (tests: tests/docs/test_site.py)."""

from pathlib import Path

from command_page import command_page
from config_page import config_page
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from notebook_page import notebook_page


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the pages that are generated at each build."""
    files.append(File.generated(config, "reference/commands.md", content=command_page()))
    files.append(File.generated(config, "reference/config.md", content=config_page()))
    for path in sorted(Path(config.docs_dir, "notebooks").glob("*.ipynb")):
        text, pictures = notebook_page(path)
        files.append(File.generated(config, f"notebooks/{path.stem}.md", content=text))
        for name, content in pictures.items():
            files.append(File.generated(config, f"notebooks/{name}", content=content))
    return files
