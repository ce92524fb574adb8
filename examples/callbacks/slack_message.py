"""A callback that posts a decision to a Slack channel, by an incoming webhook.

SLACK_WEBHOOK_URL   the address that Slack gives; whoever has it can post, so it is a secret

What Slack refuses or does not answer raises, and the call is made again. Slack knows no idempotency key: a decision that is told twice is
posted twice, with the same id below it.
"""

from __future__ import annotations

import json
import os
import urllib.request
from typing import Any

from stream_retrain import Decision

TIMEOUT_S = 10.0


def slack_message(decision: Decision) -> dict[str, Any]:
    """What is posted: `text` is for notifications, `blocks` is what the channel shows."""
    place = f"{decision.topic}, partition {decision.partition}, offset {decision.offset}, {decision.time}"
    return {
        "text": f"{decision.pipeline}: {_escaped(decision.text)}",
        "blocks": [
            {"type": "section", "text": {"type": "mrkdwn", "text": f"*{decision.pipeline}*  {_escaped(decision.text)}"}},
            {"type": "context", "elements": [{"type": "mrkdwn", "text": _escaped(f"{place}\n{decision.id}")}]},
        ],
    }


def post_to_slack(decision: Decision) -> None:
    """The callback."""
    body = json.dumps(slack_message(decision)).encode()
    address, headers = os.environ["SLACK_WEBHOOK_URL"], {"Content-Type": "application/json"}
    request = urllib.request.Request(address, body, headers)  # noqa: S310 - the operator's own address
    with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310 - the same
        answer.read(1_000)


def _escaped(text: str) -> str:
    """Text of foreign origin, so that it is no link and no mention."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
