include $(sort $(wildcard $(BR2_EXTERNAL_WECKD_PATH)/package/*/*.mk))
