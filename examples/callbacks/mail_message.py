"""A callback that sends a decision by e-mail.

MAIL_HOST, MAIL_PORT      the SMTP server
MAIL_FROM, MAIL_TO        addresses; of receivers with commas between
MAIL_USER, MAIL_PASSWORD  if the server asks for them: the connection is then encrypted first (STARTTLS), or nothing is sent

The Message-ID is made of the decision's id. So a decision that is told twice is the same message, and most programs show it once.
"""

from __future__ import annotations

import hashlib
import json
import os
import smtplib
import ssl
from email.message import EmailMessage

from stream_retrain import Decision

TIMEOUT_S = 20.0


def mail_message(decision: Decision, sender: str, receivers: str) -> EmailMessage:
    """The message."""
    message = EmailMessage()
    message["Subject"] = " ".join(f"[{decision.pipeline}] {decision.text}".split())[:200]
    message["From"], message["To"] = sender, receivers
    message["Message-ID"] = f"<{hashlib.sha256(f'{decision.pipeline} {decision.id}'.encode()).hexdigest()[:32]}@stream-retrain>"
    message.set_content(f"{decision.text}\n\n{decision.id}\n{decision.time}\n\n{json.dumps(dict(decision.data), indent=2)}\n")
    return message


def send_mail(decision: Decision) -> None:
    """The callback."""
    given = os.environ
    message = mail_message(decision, given["MAIL_FROM"], given["MAIL_TO"])
    with smtplib.SMTP(given["MAIL_HOST"], int(given.get("MAIL_PORT", "25")), timeout=TIMEOUT_S) as server:
        if "MAIL_USER" in given:
            server.starttls(context=ssl.create_default_context())
            server.login(given["MAIL_USER"], given["MAIL_PASSWORD"])
        server.send_message(message)
