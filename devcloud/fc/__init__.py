"""Function Compute: functions as processes, their triggers, the asynchronous queue and the platform's own API.

**Faults** of the target ``fc`` are matched, with shell wildcards, on ``function``, ``kind`` (``sync``, ``async``,
``http``, ``timer``, ``oss``) and ``attempt`` (from 1; 0 is the call that queues an asynchronous invocation). A fault
waits for the step of its effect:

==================================================  ==================================================================
effect                                              what happens
==================================================  ==================================================================
``{"status": 429, "code": …, "message": …}``        the call is refused
``{"drop": true}``                                  the call is served, the connection closed without an answer
``{"delayS": x}``                                   the call, or the start of a timer's or an OSS event's invocation,
                                                    comes x seconds later by the emulators' clock
``{"throttle": true}``                              a queued invocation waits 0.5, 1, 2… s, without an attempt
``{"kill": true, "afterS": x}``                     the instance is killed x seconds (default 0) after it got the
                                                    event, and its answer is lost
``{"diskBytes": n}``                                an instance that starts gets a temp disk of n bytes (Linux, root)
==================================================  ==================================================================

Faults of the target ``events`` are matched on ``key`` and ``event`` (``ObjectCreated:PutObject``), once for each
event that matches a trigger:

==================================================  ==================================================================
``{"lose": true}``                                  it is never delivered
``{"copies": n}``                                   it is delivered n times
``{"delayS": x}``                                   it is delivered x seconds later by the emulators' clock
``{"hold": true}``                                  it is delivered after the next event has been
==================================================  ==================================================================
"""
