"""`rsmtdf cache`: the folder of feature stores."""
