"""Care of a cache: plan, verify, repair, transcode and transfer its stores."""
