def present_views(experiment, settings, declared):
    return 0
