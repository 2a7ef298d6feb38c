"""`RedisTier`."""

from fault import Fault

FAULTS = [
    Fault(
        "the-store-of-a-lease-that-is-anothers",
        "scripts",
        "if h[1] == token then return false end",
        "do return false end",
        "promise 4: a leader that was stopped past its lease replaces what is newer",
        "scripts::random_steps_are_answered_as_by_the_model",
    ),
    Fault(
        "a-fence-leaves-the-lease",
        "scripts",
        """  local waiting = redis.call('HKEYS', L)
  redis.call('DEL', L)
""",
        """  local waiting = redis.call('HKEYS', L)
""",
        "promise 4: what began to load before invalidate() is stored after it",
        "scripts::random_steps_are_answered_as_by_the_model",
    ),
    Fault(
        "a-number-that-was-lost-begins-anew",
        "scripts",
        "if number < known then",
        "if false then",
        "7, the fence: what was cleared is found again in a store that was restored from a copy",
        "scripts::a_number_that_the_store_has_lost_is_restored",
    ),
    Fault(
        "what-is-over-is-kept-for-ever",
        "scripts.Questions.store",
        "abs(_px(keep))",
        "max(0, _px(keep))",
        "freshness: what had ended when it was stored is served for ever",
        "scripts::what_is_over_when_it_is_stored_is_not_kept",
    ),
    Fault(
        "any-answer-is-taken",
        "scripts.reply",
        "if its != question:",
        "if False:",
        "after an interruption, a call gets the value of another key",
        "redis_tier::an_answer_to_an_older_question_is_not_taken",
    ),
    Fault(
        "timeouts-are-counted",
        "breaker.Breaker.failed",
        "if hangs or self._until",
        "if self._until",
        "promise 3: while a store hangs, two calls lose a timeout",
        "breaker::the_first_timeout_opens_it",
    ),
    Fault(
        "each-who-had-asked-counts",
        "breaker.Breaker.failed",
        "if asked < self._opened:",
        "if False:",
        "promise 3: after one hiccup nobody asks for five seconds",
        "breaker::many_that_had_asked_before_it_opened_are_one_failure",
    ),
    Fault(
        "missed-news-are-gone",
        "push.Listener._subscribe",
        "if self.missed:",
        "if False:",
        "promise 5: a process that was cut off serves what others have invalidated",
        "redis_tier::a_subscription_that_was_killed_drops_all_that_is_here",
    ),
    Fault(
        "a-subscription-is-believed",
        "push.Listener._listen",
        "if pinged and now - pinged > patience:",
        "if False:",
        "promise 5: a process hears nothing any more, and does not notice",
        "redis_tier::a_subscription_that_hangs_is_noticed",
    ),
    Fault(
        "debts-stay-under-old-digests",
        "redis.RedisTier.turn",
        "self._owe_anew(f, known, generation)",
        "pass",
        "7, the fence: an invalidation before the first call drops nothing",
        "redis_tier::one_of_a_task_as_well",
    ),
    Fault(
        "secrets-are-logged",
        "clients.Clients.without_secrets",
        "if secret:",
        "if False:",
        "a password is in the log",
        "redis_tier::secrets_in_what_a_server_says_are_blotted_out",
    ),
    Fault(
        "lost-scripts-are-not-sent-again",
        "redis.RedisTier._answer",
        'client.execute_command("EVAL", question.script.text, *words)',
        'client.execute_command("EVALSHA", question.script.sha, *words)',
        "promise 1: after SCRIPT FLUSH each process loads for itself",
        "redis_tier::scripts_that_the_server_has_lost_are_sent_again",
    ),
]
