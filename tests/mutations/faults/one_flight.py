"""One flight for each key, whatever the key does; and what follows one that was abandoned."""

from fault import Fault

FAULTS = [
    Fault(
        "keys-of-one-hash-are-one",
        "by_key.Flights.entered",
        "flight = _of_key(found, mine.key)",
        "flight = _each(found)[0]",
        "1, one flight: a call gets the value of another key that has the same hash",
        "flights::keys_of_one_hash_have_a_flight_each",
    ),
    Fault(
        "no-look-after-the-comparison",
        "by_key.Flights._beside",
        "if key in self and self[key] is found: self",
        "if True: self",
        "1, one flight: threads that switch in a key's __eq__ both load, and forget() fences one",
        "flights::two_threads_that_switch_in_a_comparison_share_a_flight",
    ),
    Fault(
        "what-came-meanwhile-is-lost",
        "by_key.Flights._beside",
        "(*_each(found), mine)",
        "mine",
        "1, one flight: a flight of another key goes off the table, and a second one begins",
        "flights::keys_of_one_hash_have_a_flight_each",
    ),
    Fault(
        "off-by-hash",
        "by_key.Flights.remove",
        """\
        while self.has(flight):
""",
        """\
        while key in self:
            if type(self[key]) is not tuple:
                del self[key]
                return True
""",
        "1, one flight: who lands late takes off a flight of another key, or its successor",
        "flights::keys_of_one_hash_have_a_flight_each",
    ),
    Fault(
        "a-landing-asks-the-key",
        "table.FlightTable._off",
        """\
                if number in flights and flights[number] is flight: del flights[number]  # fmt: skip
                elif not flights.remove(flight) and shelf""",
        """\
                if flights.of(flight.key) is flight:
                    flights.remove(flight)
                elif shelf""",
        "8, nothing is left behind: a flight stays, with its value, whose key changed its hash",
        "flights::a_key_whose_hash_changes_while_it_loads_leaves_nothing_behind",
    ),
    Fault(
        "a-key-equals-itself-by-eq",
        "by_key._of_key",
        "flight.key is key or flight.key == key",
        "flight.key == key",
        "1, one flight: each call with a NaN loads, and none of them can be forgotten",
        "flights::a_key_that_equals_nothing_finds_its_own_flight",
    ),
    Fault(
        "old-flights-go-by-hash",
        "overdue.Overdue.of",
        "return [other for other in found if other.key is key or other.key == key]",
        "return list(found)",
        "the surface, max_abandoned: loads that hang stand in the way of other keys of their hash",
        "flights::old_flights_are_counted_for_each_key",
    ),
    Fault(
        "no-successor-is-noted",
        "table.FlightTable._succeed",
        "            abandoned.successor = self.flights.enter(mine)\n",
        "            return self.flights.enter(mine)\n",
        "5, interruptions are personal: of those aboard, each that wakes late loads once more",
        "successors::an_interrupted_leader_costs_one_reload",
    ),
    Fault(
        "who-leads-anew-has-no-successor",
        "table.FlightTable.claim",
        "abandoned, mine.following = mine.following, None",
        "abandoned = mine.following = None",
        "5, interruptions are personal: of those aboard, each that wakes late loads once more",
        "successors::a_newcomer_does_not_follow_what_has_landed",
    ),
    Fault(
        "futures-know-no-successor",
        "futures.SubmitFuture.claim",
        "after = None if abandoned is None else abandoned.following or abandoned",
        "after = None",
        "5, interruptions are personal: futures that are handed on late load once more each",
        "successors::futures_follow_the_successor_as_well",
    ),
    Fault(
        "a-task-that-refreshes-takes-a-hit",
        "tasks.Tasks.call",
        "outcome = serving.take(table, flight, call, own, self.serve)",
        "call.may_hit |= own; outcome = serving.take(table, flight, call, own, self.serve)",
        "10, refresh is a flight: a task's refresh() that follows a hit after all loads nothing",
        "successors::a_task_that_refreshes_does_not_take_what_its_successor_found_in_the_cache",
    ),
    Fault(
        "what-is-over-succeeds-itself",
        "table.FlightTable._succeed",
        "        self._clean(abandoned)",
        "        pass",
        "5, interruptions are personal: after an interrupted landing, who leads anew does for ever",
        "successors::a_flight_that_is_over_and_still_on_the_table_succeeds_nobody",
    ),
]
