"""What a student minimises: one small file per method over shared parts."""
