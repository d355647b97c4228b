create user somebody;
