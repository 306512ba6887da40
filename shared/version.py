"""The version of the project: its only home. Build tools and the local cloud read it from this file."""

VERSION = "0.1.0"
