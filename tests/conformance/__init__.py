"""The official SDK's own tests, run against the OSS emulator."""
