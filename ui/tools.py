"""The endpoints as tools for language models, which see the pictures themselves (`GRADIO_MCP_SERVER`, flags.py)."""

from base64 import b64encode
from pathlib import Path
from typing import Any

import gradio.mcp
from PIL import Image


class Tools(gradio.mcp.GradioMCPServer):
    """Gradio's server of tools, whose answers hold each picture as it is, beside the seed."""

    async def _execute_tool_without_progress(self, job: Any) -> list[Any]:
        [outputs] = await super()._execute_tool_without_progress(job)
        return list(outputs)  # each by itself: Gradio takes several for one, and writes that as a text

    @staticmethod
    def get_base64_data(image: Image.Image, format: str) -> str:
        """The file itself: Gradio would write it anew, without its recipe, and of an animation the first frame."""
        with image:  # which Gradio opened, and does not close
            return b64encode(Path(image.filename).read_bytes()).decode()  # type: ignore[attr-defined]
