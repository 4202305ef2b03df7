"""Print an env file with fresh secrets for docker-compose.yml.

python3 scripts/make_env.py > .env
"""

import base64
import os
import secrets

PASSWORDS = ("POSTGRES_PASSWORD", "TULOU_OWNER_PASSWORD", "TULOU_APP_PASSWORD", "REDIS_PASSWORD")
KEYS = ("TULOU_SIGNING_KEYS", "TULOU_TOKEN_KEY", "TULOU_MAIL_KEYS")


def main() -> None:
    """Print one `NAME=value` a line."""
    for name in PASSWORDS:
        print(f"{name}={secrets.token_hex(24)}")
    for name in KEYS:
        print(f"{name}={base64.urlsafe_b64encode(os.urandom(32)).decode()}")


if __name__ == "__main__":
    main()
