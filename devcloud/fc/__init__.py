"""Function Compute: functions as processes, their triggers, the asynchronous queue and the platform's own API."""
