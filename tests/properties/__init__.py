"""What `test_properties` is made of."""

import pytest

pytest.register_assert_rewrite("properties.steps", "properties.subjects")
