#!/bin/sh
# An agent in mode "once": stdin is the message, stdout the answer.
tr '[:lower:]' '[:upper:]'
