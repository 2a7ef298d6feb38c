"""Keys, instances, and the wrapper that finds a hit."""

from fault import Fault

FAULTS = [
    Fault(
        "none-is-a-miss",
        "_template._source",
        'f"if {sf}entry is not None{fresh}:\\n"',
        'f"if {sf}entry is not None and {sf}entry.value is not None{fresh}:\\n"',
        "16, a hit is cheap: a loader that returns None pays a miss for every call",
        "threads::a_hit_takes_no_lock",
    ),
    Fault(
        "keywords-have-an-order",
        "_keys.derived",
        'f"frozenset({p.name}.items())"',
        'f"(*{p.name}.items(),)"',
        "12, keys are the bound arguments: f(a=1, b=2) and f(b=2, a=1) load twice",
        "keys::the_order_of_keyword_arguments_does_not_matter",
    ),
    Fault(
        "an-address-is-an-instance",
        "_instances.Instances.enroll.end",
        """\
            looks.pop(address, None)
""",
        "",
        "13, methods: an instance at a reused address is served the values of a dead one",
        "store::nothing_is_left_of_a_dead_instance",
    ),
    Fault(
        "a-wrapped-method-binds-itself",
        "_keys._has_its_own",
        " or _is(call, MethodType)",
        "",
        "12, keys are the bound arguments: a wrapped method that is bound wants its self once more",
        "annotations::decorating_evaluates_no_annotation[def-a partial of a bound wrapper-Later]",
    ),
    Fault(
        "keyword-only-defaults-are-lost",
        "_keys._bare",
        "bare.__kwdefaults__ = call.__kwdefaults__",
        "pass",
        "12, keys are the bound arguments: keyword-only parameters have no defaults any more",
        "annotations::decorating_evaluates_no_annotation[def-a function-Later]",
    ),
]
