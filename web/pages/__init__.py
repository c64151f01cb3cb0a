"""The pages for people: rendered here whole, so that they read well without JavaScript; scripts make them live."""
