"""The configuration documents of buckets: one module per subject, which reads, checks and interprets them."""

from devcloud.oss.documents.cors import CORS
from devcloud.oss.documents.document import Document
from devcloud.oss.documents.encryption import ENCRYPTION
from devcloud.oss.documents.lifecycle import LIFECYCLE
from devcloud.oss.documents.policy import POLICY
from devcloud.oss.documents.referer import REFERER
from devcloud.oss.documents.settings import SETTINGS
from devcloud.oss.documents.tagging import TAGGING
from devcloud.oss.documents.website import WEBSITE

DOCUMENTS: tuple[Document, ...] = (
    *(CORS, ENCRYPTION, LIFECYCLE, POLICY, REFERER, TAGGING, WEBSITE),
    *SETTINGS,
)
"""Each is kept by the storage under the name of its sub-resource, in the form that is answered."""

__all__ = ["DOCUMENTS", "Document"]
