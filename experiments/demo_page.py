"""A part of demo.py: the page, by Gradio.  Pictures are inside the page; no file is served."""

import os
from collections.abc import Callable
from pathlib import Path

# for Gradio: no telemetry, and no look for a newer version
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
os.environ.pop("GRADIO_ALLOWED_PATHS", None)  # would let the page serve files

import gradio as gr
import jinja2
from demo_answers import (
    MOST_CHARACTERS,
    MOST_UPLOAD,
    NOT_AN_IMAGE,
    Answer,
    Answers,
)

from texttopicnet import files
from texttopicnet.errors import UserError

HERE = Path(__file__).resolve().parent
TITLE = "TextTopicNet"
TOGETHER = 4  # users whose questions are answered at the same time; the others wait in line
THREADS = 2 * TOGETHER  # each one that runs the net gets threads of OpenMP's own
WAITING = 64
IMAGE_HINT = (
    "Drop an image to see what the net takes it to be about: its topics with their words, and the"
    " articles and images of the corpus that are nearest to it."
)
TEXT_HINT = "Type any text to see its topics, and the images of the corpus that are nearest to it."
KEPT = 3600  # seconds until an upload is deleted
# Nothing but this server: the browser refuses anything else, such as a font of another site.
# Gradio's own scripts and styles are partly inside the page.
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; style-src 'self'"
    " 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self' data:"
    " blob:; worker-src 'self' blob:; frame-ancestors 'self'; form-action 'self'; object-src 'none'"
)


class Policy:
    """ASGI middleware that adds `POLICY` to every response."""

    def __init__(self, app: Callable) -> None:
        self._app = app

    async def __call__(self, scope: dict, receive: Callable, send: Callable) -> None:
        async def send_with_policy(message: dict) -> None:
            if message["type"] == "http.response.start":
                headers = [
                    (b"content-security-policy", POLICY.encode()),
                    (b"x-content-type-options", b"nosniff"),
                    (b"referrer-policy", b"no-referrer"),
                ]
                message = {**message, "headers": [*message.get("headers", ()), *headers]}
            await send(message)

        await self._app(scope, receive, send_with_policy)


class Page:
    """The page's functions: what a user gives, as HTML."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        environment = jinja2.Environment(autoescape=True)
        self._template = environment.from_string(
            (HERE / "demo.html.jinja").read_text(encoding="utf-8")
        )

    def html(self, answer: Answer, kind: str, of: str = "") -> str:
        return self._template.render(answer=answer, kind=kind, of=of)

    def hint(self, text: str) -> str:
        """What is in an answer's place before there is one."""
        return self._template.render(answer=Answer(), hint=text)

    def of_image(self, path: str | None) -> tuple[str, dict | None]:
        """The answer, and what becomes of the picture beside it: a file that is not an image goes.

        `path` is where Gradio has put the upload; None once the user has removed it.
        """
        if path is None:
            return self.hint(IMAGE_HINT), gr.skip()
        try:
            answer = self._answers.of_image(files.read(path, MOST_UPLOAD))
        except UserError:
            answer = Answer(message=NOT_AN_IMAGE)
        return self.html(answer, "image", "of this image"), None if answer.message else gr.skip()

    def of_text(self, text: str | None) -> str:
        return self.html(self._answers.of_text(text), "text", "of this text")

    def of_topic(self, number: int) -> str:
        return self.html(self._answers.of_topic(number), "topic")

    def topics(self) -> list[tuple[str, int]]:
        """What the list of topics shows, and their numbers."""
        return [
            (
                f"{topic.number}: {', '.join(topic.words[:5])} ({100 * topic.share:.1f} %)",
                topic.number,
            )
            for topic in self._answers.by_share()
        ]


def upload() -> gr.Image:
    """Where an image is dropped.

    Gradio itself would decode the file, without a limit on its pixels, and would fetch a file that
    a request names by its address.  The two methods are replaced on the object, because for a class
    derived from one of its own Gradio writes a .pyi file beside this one.
    """
    image = gr.Image(
        label="Drop an image", type="filepath", sources=["upload", "clipboard"], height=280
    )

    def path_of(payload: object) -> str | None:
        return getattr(payload, "path", None)

    async def own_file(path: str | None) -> str | None:
        if path is not None and not os.path.isabs(path):
            raise gr.Error("Only files that were uploaded are read.", print_exception=False)
        return path

    image.preprocess = path_of
    image.async_move_resource_to_block_cache = own_file
    return image


def blocks(answers: Answers, about: str) -> gr.Blocks:
    """The page.

    Parameters
    ----------
    answers : Answers
    about : str
        A sentence that names the model and the corpus.
    """
    page = Page(answers)
    topics = page.topics()
    quiet = {"api_visibility": "private", "show_progress": "minimal"}
    with gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=(KEPT, KEPT)) as made:
        gr.Markdown(f"# {TITLE}")
        gr.Markdown(about, elem_classes="lead")
        with gr.Tab("Image"), gr.Row():
            with gr.Column(scale=1, min_width=280):
                image = upload()
            with gr.Column(scale=3, min_width=320):
                of_image = gr.HTML(page.hint(IMAGE_HINT), elem_id="of-image")
            gr.on([image.input, image.clear], page.of_image, image, [of_image, image], **quiet)
        with gr.Tab("Text"), gr.Row():
            with gr.Column(scale=1, min_width=280):
                words = gr.Textbox(
                    label="Type a text", lines=6, max_lines=16, max_length=MOST_CHARACTERS + 1
                )
                find = gr.Button("Find images", variant="primary")
            with gr.Column(scale=3, min_width=320):
                of_text = gr.HTML(page.hint(TEXT_HINT), elem_id="of-text")
            gr.on([find.click, words.submit], page.of_text, words, of_text, **quiet)
        with gr.Tab("Topics"):
            number = gr.Dropdown(
                topics, value=topics[0][1], label="Topic, with its share of the corpus"
            )
            of_topic = gr.HTML(page.of_topic(topics[0][1]), elem_id="of-topic")
            number.change(page.of_topic, number, of_topic, **quiet)
    made.queue(max_size=WAITING, default_concurrency_limit=TOGETHER)
    return made


def serve(made: gr.Blocks, host: str, port: int) -> str:
    """Start the server in threads of its own; returns the page's address.

    Raises
    ------
    UserError
        The port is taken, or the host is not this machine's.
    """
    try:
        _, address, _ = made.launch(
            server_name=host,
            server_port=port,
            share=False,
            inbrowser=False,
            quiet=True,
            prevent_thread_lock=True,
            max_threads=THREADS,
            max_file_size=MOST_UPLOAD,
            show_error=False,
            footer_links=[],
            run_history=False,
            enable_monitoring=False,
            ssr_mode=False,
            pwa=False,
            mcp_server=False,
            theme=gr.themes.Default(
                font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]
            ),
            css_paths=HERE / "demo.css",
            app_kwargs={"middleware": [(Policy, (), {})]},
        )
    except OSError as error:
        raise UserError(
            f"no page can be served at {host}, port {port} ({' '.join(str(error).split())}): give"
            " another --port or --host"
        ) from error
    return address
