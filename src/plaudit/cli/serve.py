"""Verb that serves models over HTTP: serve."""

from pathlib import Path
from typing import Annotated

import typer

from plaudit.cli.base import app, progress_console
from plaudit.errors import MissingExtraError, SettingsError


@app.command(
    epilog="Examples:\n\nplaudit serve\n\nplaudit serve --model runs/mine/models/bow --port 9000\n\n"
    "plaudit serve --host 0.0.0.0 --api-key-file keys.txt"
)
def serve(
    models: Annotated[
        list[str] | None,
        typer.Option("--model", "-m", help="A shipped model, a model folder or NAME=FOLDER; repeat it for more."),
    ] = None,
    host: Annotated[str, typer.Option(help="Address to serve on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; 0 takes a free one, which the log tells.")] = 8000,
    api_key_file: Annotated[
        Path | None,
        typer.Option(help="File of keys, one a line, of which requests need one; or PLAUDIT_API_KEY.", readable=False),
    ] = None,
    allow_anonymous: Annotated[
        bool, typer.Option("--allow-anonymous", help="Ask for no key, whoever reaches the address.")
    ] = False,
    abstain_below: Annotated[
        float, typer.Option(metavar="P", help="Give no verdict of a lower probability, but null.")
    ] = 0.0,
    assignments: Annotated[
        list[str] | None, typer.Option("--set", metavar="A=V", help="Change a limit, for example max_texts=100.")
    ] = None,
    access_log: Annotated[bool, typer.Option(help="Log every request, not failed ones alone.")] = True,
    log_texts: Annotated[bool, typer.Option("--log-texts", help="Log the texts of requests, too.")] = False,
) -> None:
    """Judge texts over HTTP, with a page to try models on: POST /v1/predict, /openapi.json, /metrics.

    SIGHUP loads the models again without dropping a request; SIGTERM finishes what was accepted.
    """
    from plaudit.bundle.locate import shipped_models
    from plaudit.settings import override, parse

    try:
        from plaudit.serve.log import Log
        from plaudit.serve.run import KEY_VARIABLE, Service, bound, ignore_hangups, is_loopback, read_keys
        from plaudit.serve.settings import ServeSettings
    except ModuleNotFoundError:
        raise MissingExtraError("serving needs: pip install 'plaudit[serve]'") from None

    settings = parse(ServeSettings, override({}, assignments or []), source="--set")
    keys = read_keys(api_key_file)
    if allow_anonymous and keys:
        raise SettingsError("--allow-anonymous has no effect on a service that has keys; leave one of them out")
    if not keys and not allow_anonymous and not is_loopback(host):
        raise SettingsError(
            f"--host {host}: others may reach this address: give --api-key-file FILE or {KEY_VARIABLE}, "
            "or --allow-anonymous"
        )
    with bound(host, port) as listener:
        served = models or shipped_models()
        console = progress_console()
        if console.is_terminal:
            url = f"http://{host}:{listener.getsockname()[1]}"
            console.print(
                f"Loading {', '.join(served)} to serve on {url} (Ctrl-C stops)", highlight=False, soft_wrap=True
            )
        ignore_hangups()
        service = Service(
            served,
            settings=settings,
            keys=keys,
            log=Log(requests=access_log),
            abstain_below=abstain_below,
            log_texts=log_texts,
        )
        service.run(listener)
