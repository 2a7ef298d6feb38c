"""For `gunicorn --worker-class gevent --preload`: patch before anything else is imported."""

from gevent import monkey

monkey.patch_all()
