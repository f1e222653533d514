"""What the routes of OpenAI's audio API are made of: the form, the names of models, the stream of events."""
