"""The version of this release: the package, the API and its description read it here."""

VERSION = "0.1.0"
