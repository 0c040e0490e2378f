"""`rsmtdf runs`, `compare` and `report`."""
