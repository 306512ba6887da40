"""The AI providers of the local cloud: they speak DashScope's and OpenAI's HTTP, and deliver real PNG and MP4 files.

They are honest fakes. Request ids start with ``fake-``, every answer has the header ``X-Fake-Provider: true``, and each
picture says that no model made it. What a real provider would have billed is counted (``AiEmulator.charges``).

Addresses, below the address of the port that serves ``AiEmulator.routes``:

====================================  =====================================================================
``/api/v1`` (DashScope)               ``services/aigc/text2image/image-synthesis``,
                                      ``services/aigc/image-generation/generation``,
                                      ``services/aigc/multimodal-generation/generation`` (without tasks),
                                      ``services/aigc/video-generation/video-synthesis``, ``tasks/``,
                                      ``tasks/{id}``, ``tasks/{id}/cancel``
``/v1`` (OpenAI)                      ``images/generations`` (without tasks, ``gpt-image-*``)
``/results/{date}/{name}``            the media, by signed links that are valid for 24 hours
====================================  =====================================================================

**Switches in the prompt**, for experiments by hand:

==============  ========================================================================================
``[fail]``      the task ends FAILED with InternalError.Algo; a generation without a task answers 500
``[refuse]``    the request is rejected: 400 DataInspectionFailed (OpenAI: moderation_blocked)
``[partial]``   the last of several DashScope images is an error object; not for OpenAI
``[slow]``      the generation takes 60 seconds of the emulators' clock, the first quarter of it PENDING
==============  ========================================================================================

**Faults** have the target ``provider``. ``match`` may name, with shell wildcards: ``operation`` (``submit``, ``poll``,
``cancel``, ``list``, ``result``, and ``generate`` for a request that returns the result), ``api`` (``dashscope``,
``openai``, and ``oss`` for results), ``model``, ``type`` (``image``, ``video``) and ``prompt``. Faults apply only to
requests that are otherwise valid. The effects, which may be combined:

===================================================  ===================================================
``{"status": 503, "code": …, "message": …}``         this error, in the shape of the API; no work is done
``{"requestsPerSecond": 20}``                        429 Throttling.RateQuota for those requests above this
                                                     rate; ``times`` is the number of requests that are counted
``{"taskStatus": "FAILED", "code": …, "message": …}``  ``submit``: the task is accepted and ends like this
``{"drop": true}``                                   the work is done, then the connection is closed unanswered
``{"delayS": 5}``                                    the answer comes 5 seconds later by the emulators' clock
``{"expired": true}``                                ``result``: 403 as from an expired link
``{"redirect": "http://…"}``                         ``result``: 302 to this URL
``{"body": "html"}``                                 ``result``: this instead of the media, with 200: ``html``,
                                                     ``svg``, ``text`` or ``empty``
``{"contentType": "text/plain"}``                    ``result``: sent with this Content-Type
``{"truncateBytes": 100}``                           ``result``: the whole length is announced, 100 bytes follow
===================================================  ===================================================
"""

from devcloud.ai.ai_emulator import AiEmulator

__all__ = ["AiEmulator"]
