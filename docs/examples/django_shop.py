"""Django in one file: what a transaction changes is invalidated once it has been committed."""

import logging
from dataclasses import asdict

import django
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections, models, transaction
from django.http import HttpRequest, JsonResponse
from django.urls import path
from django.views import View

from soloflight import cached_singleflight

logging.basicConfig(level=logging.INFO)
log = logging.getLogger("shop")
sqlite = {"ENGINE": "django.db.backends.sqlite3", "NAME": "shop.db", "OPTIONS": {"timeout": 30}}
settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], DATABASES={"default": sqlite})
django.setup()


class Product(models.Model):
    name = models.TextField()

    class Meta:
        app_label, db_table = "shop", "products"


@cached_singleflight(ttl=300, stale_while_revalidate=60)
def load_product(product_id: int) -> dict:
    close_old_connections()  # a refresh has a thread of its own, in which no request does that
    log.info("product %s is loaded", product_id)
    return Product.objects.values("id", "name").get(pk=product_id)  # plain data, no queryset


class ProductView(View):
    def get(self, request: HttpRequest, product_id: int) -> JsonResponse:
        return JsonResponse(load_product(product_id))  # the data is cached, not the response

    @transaction.atomic
    def put(self, request: HttpRequest, product_id: int) -> JsonResponse:
        Product.objects.filter(pk=product_id).update(name=request.GET["name"])
        transaction.on_commit(lambda: load_product.invalidate(product_id))
        return JsonResponse({})


def stats(request: HttpRequest) -> JsonResponse:
    return JsonResponse(asdict(load_product.stats()))


urlpatterns = [path("products/<int:product_id>", ProductView.as_view()), path("stats", stats)]
wsgi = get_wsgi_application()
asgi = get_asgi_application()
