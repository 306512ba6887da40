"""The error of a request that Function Compute refuses."""


class FcError(Exception):
    """A refused request: HTTP ``status``, and ``code`` and ``message`` of FC's JSON error body."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message

    def body(self, request_id: str) -> dict[str, str]:
        """Return the JSON body of the answer."""
        return {"Code": self.code, "Message": self.message, "RequestId": request_id}
