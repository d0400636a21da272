"""The stages of an image build, each a durable step of the job or several of them."""
