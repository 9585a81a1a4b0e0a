"""The verb that serves models over HTTP: serve."""

from pathlib import Path
from typing import Annotated

import typer

from plaudit.cli import base
from plaudit.console import needs_extra
from plaudit.errors import SettingsError


@base.app.command(
    epilog="Examples:\n\nplaudit serve\n\nplaudit serve --model runs/mine/models/bow --port 9000\n\n"
    "plaudit serve --host 0.0.0.0 --api-key-file keys.txt\n\nplaudit serve --set max_texts=100"
)
def serve(
    models: Annotated[
        list[str] | None,
        typer.Option("--model", "-m", help="A shipped model, a model folder or NAME=FOLDER; may be repeated."),
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 picks a free one and logs it.")] = 8000,
    api_key_file: Annotated[
        Path | None, typer.Option(help="File of accepted keys, one per line; or $PLAUDIT_API_KEY.", readable=False)
    ] = None,
    allow_anonymous: Annotated[
        bool, typer.Option("--allow-anonymous", help="Require no key, even from other machines.")
    ] = False,
    abstain_below: base.AbstainOption = 0.0,
    assignments: base.SetOption = None,
    access_log: Annotated[bool, typer.Option(help="Log every request, not only failed ones.")] = True,
    log_texts: Annotated[bool, typer.Option("--log-texts", help="Also log the texts of requests.")] = False,
) -> None:
    """Serve models over HTTP: POST /v1/predict, /openapi.json, /metrics, and a page to try them on.

    --set changes a limit, such as max_texts. SIGHUP reloads the models without dropping a request; SIGTERM finishes
    accepted requests and stops.
    """
    from plaudit.bundle.locate import shipped_models
    from plaudit.settings import override, parse

    with needs_extra("serve", "serving"):
        from plaudit.serve.log import LibraryHandler, Log
        from plaudit.serve.run import KEY_VARIABLE, Service, bind, ignore_hangups, is_loopback, read_keys
        from plaudit.serve.settings import ServeSettings

    settings = parse(ServeSettings, override({}, assignments or []), source="--set")
    keys = read_keys(api_key_file)
    if allow_anonymous and keys:
        raise SettingsError("--allow-anonymous has no effect together with keys; leave one of them out")
    if not keys and not allow_anonymous and not is_loopback(host):
        raise SettingsError(
            f"--host {host}: other machines can reach this address: give --api-key-file FILE or {KEY_VARIABLE}, "
            "or --allow-anonymous"
        )
    with bind(host, port) as listener:
        served = models or shipped_models()
        console = base.progress_console()
        if console.is_terminal:
            url = f"http://{host}:{listener.getsockname()[1]}"
            base.remark(console, f"Loading {', '.join(served)} to serve on {url} (Ctrl-C stops)")
        ignore_hangups()
        log = Log(requests=access_log)
        base.show_log(LibraryHandler(log))
        service = Service(
            served, settings=settings, keys=keys, log=log, abstain_below=abstain_below, log_texts=log_texts
        )
        service.run(listener)
