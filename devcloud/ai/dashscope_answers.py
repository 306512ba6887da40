"""The JSON that DashScope answers for a task: each family of models has its own shape of results and usage."""

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

from devcloud.ai.dashscope_models import video_family
from devcloud.ai.orders import Order
from devcloud.ai.task_store import Task

BEIJING = timezone(timedelta(hours=8))
_SPOILED = {"code": "DataInspectionFailed", "message": "Output data may contain inappropriate content."}

# Returns the address of the result at a position (from 0).
Link = Callable[[int], str]


def task_answer(task: Task, now: float, link: Link) -> dict[str, Any]:
    """Return ``output`` and, once ``task`` has succeeded, ``usage``, as polling shows them at the time ``now``."""
    status = task.status(now)
    output: dict[str, Any] = {"task_id": task.task_id, "task_status": status}
    if status in ("PENDING", "RUNNING"):
        if task.order.type == "image":
            output["task_metrics"] = {"TOTAL": task.order.count, "SUCCEEDED": 0, "FAILED": 0}
        return {"output": output}
    output |= _times(task)
    if status == "CANCELED":
        return {"output": output}
    if status != "SUCCEEDED":
        return {"output": output | {"code": task.code, "message": task.message}}
    if task.order.type == "video":
        output |= {**_prompts(task.order), "video_url": link(0)}
        return {"output": output, "usage": _video_usage(task.order)}
    if _answers_in_choices(task.order):
        output |= {"finished": True, "choices": _choices(task, link, typed=True)}
    else:
        output |= {"results": _list_results(task, link), "task_metrics": _metrics(task)}
    return {"output": output, "usage": _image_usage(task)}


def generation_answer(task: Task, link: Link) -> dict[str, Any]:
    """Return ``output`` and ``usage`` of a succeeded ``task`` whose request waited for the result."""
    output: dict[str, Any] = {"choices": _choices(task, link)}
    if task.order.model.startswith("qwen-image"):
        output["task_metric"] = _metrics(task)
    return {"output": output, "usage": _image_usage(task)}


def list_entry(task: Task, now: float) -> dict[str, Any]:
    """Return ``task`` as the list of tasks shows the task at the time ``now``."""
    status = task.status(now)
    row: dict[str, Any] = {
        "task_id": task.task_id,
        "status": status,
        "model_name": task.order.model,
        "gmt_create": _local_time(task.submitted_at),
        "region": "cn-beijing",
        "request_id": task.request_id,
        "user_api_unique_key": "apikey:v1:fake",
        "api_key_id": "fake",
    }
    if status not in ("PENDING", "CANCELED"):
        row["start_time"] = _local_time(task.starts_at)
    if status not in ("PENDING", "RUNNING"):
        row["end_time"] = _local_time(task.canceled_at or task.ends_at)
    return row


def _list_results(task: Task, link: Link) -> list[dict[str, str]]:
    done = [{**_prompts(task.order), "url": link(position)} for position in range(task.delivered)]
    return done + [_SPOILED] * task.spoiled


def _choices(task: Task, link: Link, *, typed: bool = False) -> list[dict[str, Any]]:
    kind = {"type": "image"} if typed else {}
    contents = [{"image": link(position), **kind} for position in range(task.delivered)]
    return [
        {"finish_reason": "stop", "message": {"role": "assistant", "content": [content]}}
        for content in contents + [_SPOILED] * task.spoiled
    ]


def _prompts(order: Order) -> dict[str, str]:
    prompts = {"orig_prompt": order.prompt}
    return {**prompts, "actual_prompt": order.prompt} if order.extend_prompt else prompts


def _metrics(task: Task) -> dict[str, int]:
    return {"TOTAL": task.order.count, "SUCCEEDED": task.delivered, "FAILED": task.spoiled}


def _image_usage(task: Task) -> dict[str, Any]:
    order, count = task.order, {"image_count": task.delivered}
    if order.model.startswith("qwen-image"):
        return {"width": order.width, "height": order.height, **count}
    if _answers_in_choices(order):
        size = f"{order.width}*{order.height}"
        return {"size": size, "total_tokens": 0, **count, "output_tokens": 0, "input_tokens": 0}
    return count


def _video_usage(order: Order) -> dict[str, Any]:
    size = f"{order.width}*{order.height}"
    if video_family(order.model).old_usage:
        return {"video_duration": order.duration_s, "video_ratio": size, "video_count": 1}
    return {
        "duration": order.duration_s,
        "input_video_duration": 0,
        "output_video_duration": order.duration_s,
        "video_count": 1,
        "SR": min(order.width, order.height),
        "size": size,
    }


def _times(task: Task) -> dict[str, str]:
    times = {"submit_time": _local_time(task.submitted_at)}
    if task.canceled_at is None:
        times["scheduled_time"] = _local_time(task.starts_at)
    return {**times, "end_time": _local_time(task.canceled_at or task.ends_at)}


def _local_time(at: float) -> str:
    return datetime.fromtimestamp(at, BEIJING).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]


def _answers_in_choices(order: Order) -> bool:
    return order.model.startswith(("wan2.6", "wan2.7"))
