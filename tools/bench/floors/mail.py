"""Mail as most programs send it: an `EmailMessage`, connect, send, quit. Takes port and number; prints a rate."""

import smtplib
import sys
import time
from email.message import EmailMessage

_TEXT = "Good morning,\n\nthis is a mail of middling length, which tells of a sign-in that was new.\n" * 6
_HTML = f"<html><body><table><tr><td><p>{_TEXT}</p></td></tr></table></body></html>" * 3


def main() -> None:
    """Send them one after the other."""
    port, number = int(sys.argv[1]), int(sys.argv[2])
    begun = time.perf_counter()
    for each in range(number):
        message = EmailMessage()
        message["From"] = "house@example.com"
        message["To"] = f"person{each}@example.com"
        message["Subject"] = "A new sign-in"
        message.set_content(_TEXT)
        message.add_alternative(_HTML, subtype="html")
        with smtplib.SMTP("127.0.0.1", port) as server:
            server.send_message(message)
    sys.stdout.write(str(number / (time.perf_counter() - begun)))


if __name__ == "__main__":
    main()
