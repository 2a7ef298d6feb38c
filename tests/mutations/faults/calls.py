"""Keys, instances, and the wrapper that finds a hit."""

from fault import Fault

FAULTS = [
    Fault(
        "none-is-a-miss",
        "template._blanks",
        'f"{sf}now() < {sf}entry.fresh_until"',
        'f"{sf}entry.value is not None and {sf}now() < {sf}entry.fresh_until"',
        "16, a hit is cheap: a loader that returns None pays a miss for every call",
        "template::a_hit_takes_no_lock",
    ),
    Fault(
        "keywords-have-an-order",
        "keys.derived",
        'f"frozenset({p.name}.items())"',
        'f"(*{p.name}.items(),)"',
        "12, keys are the bound arguments: f(a=1, b=2) and f(b=2, a=1) load twice",
        "keys::the_order_of_keyword_arguments_does_not_matter",
    ),
    Fault(
        "an-address-is-an-instance",
        "instances.Instances._watch",
        "watch.teller = ref(instance, partial(self.getters.pop, id(instance)))",
        "watch.teller = ref(instance)",
        "13, methods: an instance at a reused address is served the values of a dead one",
        "addresses::an_instance_dies_where_a_signal_handler_raises_in_the_callback",
    ),
    Fault(
        "an-address-of-what-is-gone",
        "instances.Instances._find",
        "watch = self._watches.get(id(plain))\n"
        "        if watch is not None and watch() is not instance:",
        "del plain\n        watch = self._watches.get(id(ref(instance)))\n"
        "        if watch is not None and watch() is None:",
        "13, methods: an instance gets the value of one that another thread enrolls meanwhile",
        "addresses::an_instance_is_not_confused_with_one_enrolled_while_it_is_looked_up",
    ),
    Fault(
        "collections-are-not-heard",
        "instances._collecting",
        'return _events.get("start") is not _settled or sys.is_finalizing()',
        "return False",
        "13, methods: on 3.14.8 a new instance gets what a finalizer made a dead one load",
        "addresses::what_is_enrolled_during_a_collection_is_not_found_by_its_address",
    ),
    Fault(
        "what-came-back-is-trusted",
        "instances._Guard",
        '__del__ = property(attrgetter("getters.clear"))',
        "__del__ = property(lambda self: int)",
        "13, methods: where a class was garbage and came back, an address is an instance",
        "addresses::no_instance_gets_the_value_of_one_whose_class_was_garbage_and_came_back",
    ),
    Fault(
        "empty-indexes-wait",
        "instances.Instances._end",
        "        if watch.index:\n",
        "        if True:\n",
        "8, nothing is left behind: each dead instance leaves an index until something is stored",
        "surface::an_instance_that_is_enrolled_twice_at_once_has_one_index",
    ),
    Fault(
        "bound-clear-is-for-all",
        "bound.BoundCachedFunction.clear",
        "self._core.clear_of(self.__self__)",
        "super().clear()",
        "the surface, clear(): of a bound method, it drops the entries of all instances",
        "addresses::clear_of_a_bound_method_is_for_its_instance",
    ),
    Fault(
        "a-wrapped-method-binds-itself",
        "keys._has_its_own",
        " or _is(call, MethodType)",
        "",
        "12, keys are the bound arguments: a wrapped method that is bound wants its self once more",
        "annotations::decorating_evaluates_no_annotation[def-a partial of a bound wrapper-Later]",
    ),
    Fault(
        "keyword-only-defaults-are-lost",
        "keys._unannotated",
        "copy.__kwdefaults__ = call.__kwdefaults__",
        "pass",
        "12, keys are the bound arguments: keyword-only parameters have no defaults any more",
        "annotations::decorating_evaluates_no_annotation[def-a function-Later]",
    ),
    Fault(
        "bound-clear-is-a-raw-error",
        "core.Core.clear_of",
        'keys.explain(self.spec.name, error, {}, {"per_instance": owner})',
        "raise",
        "the surface, clear(): of a bound method, its error does not name per_instance=",
        "addresses::clear_of_a_bound_method_says_what_its_call_says",
    ),
]
