"""`rsmtdf export` and `import-official`."""
