# SPDX-License-Identifier: BSD-2-Clause

from __future__ import annotations

from django.contrib import admin
from django.db import models


class Order(models.Model):
    number = models.IntegerField(unique=True)

    class Meta:
        app_label = "shop"


admin.site.register(Order)
